// What the page says in each case.

/** The page's first sentence, by the kind of target. */
export const QUESTIONS = {
  popularity: "Choose a song and see how popular its sound suggests it may become.",
  popular: "Choose a song and see how likely its sound makes it to be popular.",
  buckets: "Choose a song and see which class of popularity its sound points to.",
  audio_features: "Choose a song and see which audio features a model hears in it.",
};

/** What to say and what to do, by the status of the answer; 0 where there was none. */
export const ADVICE = {
  0: [
    "The service did not answer",
    "Check that it is still running and that you are connected, then try again. Or the upload was far too large.",
  ],
  413: ["This is too large", "Send fewer songs at once, a shorter part of the song, or the song as MP3."],
  422: [
    "This could not be read as music",
    "Choose an MP3, FLAC, OGG or WAV file. If it plays elsewhere, export it from there as one of these.",
  ],
  503: ["The service is still busy", "Others are having songs analysed. Try again in a while."],
};

/** For any other status. */
export const OTHERWISE = [
  "Something went wrong in the service",
  "Try again. If it happens again, tell whoever runs the service: its log says more.",
];
