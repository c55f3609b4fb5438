"""Invented names and identifiers; any likeness to real artists or songs is chance."""

import hashlib
from itertools import islice, product

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Each name is one word of the first list and one of the second.
ARTISTS = (
    "Porcelain,Tidal,Velvet,Borrowed,Paper,Mechanical,Lunar,Sleepless,Copper,Hollow,Feral,Cardboard,"
    "Über,Sunken,Gentle,Seventh,Reluctant,Plastic,Wandering,Indigo,Imaginary,Salted,Naïve,Left-Handed",
    "Otters,Lanterns,Umbrella,Séance,Turnstile,Pagoda,Comets,Typewriter,Orchids,Elevator,Harbour,Foxes,"
    "Satellites,Abacus,Monsoon,Marzipan,Kites,Cassette,Heron,Dumplings,Quartet,Postcards,Magpies,"
    "Thermos",
)
ALBUMS = (
    "Notes from,Beneath,Letters to,Echoes of,Almost,Nights in,Maps of,Farewell,Twelve Views of,"
    "The Museum of,Return to,Weather in,Rumours of,The Long Way to,Postcards from,A Brief History of,"
    "Waiting for,The Keeper of",
    "the Glass Harbour,Nowhere,the Ninth Floor,an Empty Pool,Tomorrow,the Paper Sea,Lantern Street,"
    "the Slow Comet,Winter Café,the Blue Ferry,Small Hours,Salt,the Last Tram,Yesterday's Rain,"
    "Elsewhere,Satellite Town,the Orchard",
)
SONGS = (
    "Umbrella for,Dancing with,Counting,Lost in,Waiting on,Half of,Goodnight to,Falling through,Under,"
    "Letters from,Running past,The Colour of,Without,Somewhere near,Whispering to,Remember,Chasing,"
    "Not Quite,Between,Borrowing,Dreaming of,Three Cups of,Sleeping beside,Talking to,The Year of,"
    "After,Before,Songs for",
    "Moonlight,the Night Bus,a Stranger,Your Name,the Rain,Monday,Plum Wine,the River,Static,Gravity,"
    "My Shadow,Neon,Noodles,the Tide,September,a Broken Radio,Strawberries,the Skyline,Nobody,Déjà Vu,"
    "the Elevator,Fireflies,Silence,Snow,the Lighthouse,Two Suitcases,an Old Photograph,Midnight,Tea,"
    "the Weather",
)


def invent(rng, words, count):
    """Invent `count` different names; once all pairs are used up they return with a number."""
    firsts, seconds = (line.split(",") for line in words)
    pairs = [f"{first} {second}" for first, second in product(firsts, seconds)]
    names = [pairs[i] for i in rng.permutation(len(pairs))]
    numbered = (f"{name} {number}" for number in range(2, 2 + count) for name in names)
    return [*names, *islice(numbered, max(0, count - len(names)))][:count]


def identifier(*parts):
    """Hash anything printable into a 22-character base62 id, Spotify's form."""
    value = number(*parts)
    digits = []
    for _ in range(22):
        value, digit = divmod(value, 62)
        digits.append(BASE62[digit])
    return "".join(digits)


def number(*parts):
    """Hash anything printable into an integer below 2**160, for seeds and digits."""
    return int(hashlib.sha1("/".join(map(str, parts)).encode()).hexdigest(), 16)
