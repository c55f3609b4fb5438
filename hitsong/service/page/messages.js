// The page's texts that depend on the model or on an error.

/** The page's headline, by the kind of target. */
export const HEADLINES = {
  popularity: "Choose a song and see how popular its sound suggests it may become.",
  growth: "Choose a song and see how much its sound suggests its popularity may grow.",
  popular: "Choose a song and see how likely its sound makes it to be popular.",
  buckets: "Choose a song and see the class of popularity that fits its sound.",
  audio_features: "Choose a song and see its audio features, estimated from its sound.",
};

/** The error and what to do, by the status of the response; 0 if there was none. */
export const ADVICE = {
  0: [
    "The service did not respond",
    "Check that it is running and that you are connected, then try again. Much too large uploads fail like this as well.",
  ],
  413: ["This is too large", "Send fewer songs at once, a shorter part of the song, or the song as MP3."],
  422: [
    "This file could not be read as music",
    "Choose a song as MP3, M4A, FLAC, OGG, WAV or a video. If it plays elsewhere, export it from there as one of these.",
  ],
  503: ["The service is still busy", "It analyses songs of other users. Try again in a while."],
};

/** For any other status. */
export const OTHERWISE = [
  "Something went wrong in the service",
  "Try again. If it happens again, tell the person who runs the service: its log has the details.",
];
