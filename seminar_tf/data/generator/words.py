"""The vocabulary that titles, texts and queries share.

Words belong to a category, a subtopic or a style, a few synonyms each; names of single items are words of their own.
The first categories and styles have English words, so that a demo can be read; larger worlds go on with invented ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ENGLISH = {
    "kitchen": ("teapot", "skillet", "whisk", "grater"),
    "garden": ("trowel", "planter", "seedling", "sprinkler"),
    "cycling": ("saddle", "helmet", "pannier", "handlebar"),
    "music": ("guitar", "ukulele", "drumstick", "metronome"),
    "camping": ("tent", "lantern", "hammock", "stove"),
    "office": ("notebook", "stapler", "deskpad", "inkwell"),
    "fashion": ("scarf", "jacket", "loafer", "beret"),
    "games": ("chess", "puzzle", "dice", "domino"),
    "fitness": ("dumbbell", "treadmill", "kettlebell", "yogamat"),
    "painting": ("easel", "canvas", "brush", "gouache"),
    "travel": ("suitcase", "passport", "backpack", "compass"),
    "baking": ("rollingpin", "sourdough", "muffin", "icing"),
    "sewing": ("thimble", "bobbin", "denim", "pincushion"),
    "astronomy": ("telescope", "starmap", "tripod", "eyepiece"),
    "fishing": ("lure", "reel", "wader", "creel"),
    "pets": ("aquarium", "leash", "birdcage", "kennel"),
}
_ENGLISH_STYLES = (
    ("rustic", "weathered"),
    ("modern", "sleek"),
    ("vintage", "retro"),
    ("playful", "whimsical"),
    ("elegant", "refined"),
    ("rugged", "sturdy"),
    ("minimal", "plain"),
    ("ornate", "baroque"),
)
_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
SUBTOPIC_SYNONYMS = 3
STYLE_SYNONYMS = 2


@dataclass(frozen=True)
class Vocabulary:
    """Words by meaning.

    Attributes:
      categories: name of each category.
      subtopics: [category][subtopic] -> SUBTOPIC_SYNONYMS words, the commonest first.
      styles: [style] -> STYLE_SYNONYMS words.
      names: words that single items are called by.
    """

    categories: tuple[str, ...]
    subtopics: tuple[tuple[tuple[str, ...], ...], ...]
    styles: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]

    @property
    def modifiers(self) -> int:
        """What may stand before a subtopic's word in a query: nothing, the category, or a style's synonym."""
        return 2 + len(self.styles) * STYLE_SYNONYMS

    def query_strings(self) -> list[str]:
        """Every query that can be typed, in the order of `query_number`."""
        style_words = [word for words in self.styles for word in words]
        return [
            f"{modifier} {word}".strip()
            for category, subtopics in zip(self.categories, self.subtopics)
            for synonyms in subtopics
            for word in synonyms
            for modifier in ("", category, *style_words)
        ]

    def query_number(self, group: np.ndarray, synonym: np.ndarray, modifier: np.ndarray) -> np.ndarray:
        """Position in `query_strings` of a subtopic's synonym after a modifier.

        Args:
          group: (R,) int, category * subtopics + subtopic.
          synonym: (R,) int in [0, SUBTOPIC_SYNONYMS).
          modifier: (R,) int in [0, modifiers): 0 nothing, 1 the category, then style * STYLE_SYNONYMS + synonym + 2.
        """
        return (group * SUBTOPIC_SYNONYMS + synonym) * self.modifiers + modifier


def build_vocabulary(categories: int, subtopics: int, styles: int, names: int, rng: np.random.Generator) -> Vocabulary:
    """Words for a world of this size; no word has two meanings.

    Args:
      categories, subtopics, styles: counts; `subtopics` is for each category.
      names: item names wanted.
      rng: draws the invented words.
    """
    synonyms = categories * subtopics * SUBTOPIC_SYNONYMS
    invented = iter(_invented_words(categories + synonyms + styles * STYLE_SYNONYMS + names, rng))
    english = list(_ENGLISH.items())
    names_of_categories, words_of_subtopics = [], []
    for c in range(categories):
        name, nouns = english[c] if c < len(english) else (next(invented), ())
        names_of_categories.append(name)
        heads = [nouns[s] if s < len(nouns) else next(invented) for s in range(subtopics)]
        words_of_subtopics.append(
            tuple((head, *(next(invented) for _ in range(SUBTOPIC_SYNONYMS - 1))) for head in heads)
        )
    words_of_styles = [
        _ENGLISH_STYLES[s] if s < len(_ENGLISH_STYLES) else tuple(next(invented) for _ in range(STYLE_SYNONYMS))
        for s in range(styles)
    ]
    return Vocabulary(
        categories=tuple(names_of_categories),
        subtopics=tuple(words_of_subtopics),
        styles=tuple(words_of_styles),
        names=tuple(next(invented) for _ in range(names)),
    )


def _invented_words(count: int, rng: np.random.Generator) -> list[str]:
    """`count` different pronounceable words of three syllables, none of them an English word above."""
    syllables = np.array([c + v for c in _CONSONANTS for v in _VOWELS])
    taken = {w for name, nouns in _ENGLISH.items() for w in (name, *nouns)} | {
        w for words in _ENGLISH_STYLES for w in words
    }
    total = len(syllables) ** 3
    if count > total // 2:
        raise ValueError(f"{count} invented words asked for, of {total // 2} at most: use fewer categories or styles.")
    # A random linear walk through all triples visits each at most once and needs no table of words seen.
    start, step = int(rng.random() * total), 2 * int(rng.random() * total / 4) + 1
    while np.gcd(step, total) != 1:
        step += 2
    numbers = (start + step * np.arange(count + len(taken), dtype=np.int64)) % total
    base = len(syllables)
    parts = [syllables[numbers // base**2], syllables[numbers // base % base], syllables[numbers % base]]
    words = [a + b + c for a, b, c in zip(*parts)]
    return [word for word in words if word not in taken][:count]
