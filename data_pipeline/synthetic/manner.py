"""How an emotion sounds and what it makes people say: none of it is in a clip unless its plan asks for it.

Directions of the voice's changes are those that listeners' and actors' studies agree on (Banse & Scherer, J. Pers. Soc.
Psychol. 70, 1996; Juslin & Laukka, Psychol. Bull. 129, 2003; smiling raises formants: Tartter, Percept. Psychophys. 27,
1980). Their sizes are ours, within what these studies report.
"""

import dataclasses

from data_pipeline.synthetic import exact


@dataclasses.dataclass(frozen=True)
class Voice:
  """Factors on an even voice.

  Attributes:
    pitch: on its height.
    range: on how far it rises and falls.
    loudness: on its strength.
    tract: on the length of the vocal tract, by which formants are divided.
  """

  pitch: float = 1.0
  range: float = 1.0
  loudness: float = 1.0
  tract: float = 1.0


VOICES = {
  'angry': Voice(1.15, 1.6, 1.9, 1.0),
  'contempt': Voice(0.9, 0.8, 0.9, 1.06),
  'disgusted': Voice(0.85, 0.7, 1.1, 1.1),
  'fear': Voice(1.35, 0.6, 0.75, 1.0),
  'happy': Voice(1.25, 1.6, 1.3, 0.91),
  'neutral': Voice(),
  'sad': Voice(0.82, 0.4, 0.5, 1.04),
  'surprised': Voice(1.45, 2.2, 1.3, 0.97),
}

_ANYONE = (
  'i was at the station this morning',
  'they moved the meeting to thursday',
  'he put the keys on the table',
  'we took the train to the city',
  'she is reading by the window',
  'the shop closes at six',
  'you can leave it over there',
  'it is the third door on the left',
)
_WORDS = {
  'angry': ('how dare you say that', 'stop it right now', 'i am so furious with them', 'that is outrageous'),
  'contempt': ('he thinks he is clever', 'how very pathetic', 'what else would you expect of him', 'as if they knew'),
  'disgusted': ('that smells revolting', 'this is gross', 'take that filthy thing away', 'it makes me sick'),
  'fear': ('i am scared of the dark', 'did you hear that noise', 'please do not leave me', 'something is there'),
  'happy': ('what a wonderful day', 'i love it so much', 'we won and it was great', 'i am so glad you came'),
  'neutral': ('the report has ten pages', 'it is usually on the second shelf', 'that is how it works'),
  'sad': ('i miss her every day', 'nothing will be the same again', 'i lost my old dog', 'it hurts and i am alone'),
  'surprised': ('oh wow i had no idea', 'really you did that', 'i cannot believe it', 'what are you doing here'),
}
_TELLING = 0.6  # share of clips in which words tell the emotion


def voice(emotion: str, strength: float) -> Voice:
  """The voice of an emotion; `strength` 0 is an even voice, 1 what `VOICES` says."""
  full = VOICES[emotion]
  return Voice(**{f.name: 1 + strength * (getattr(full, f.name) - 1) for f in dataclasses.fields(Voice)})


def transcript(stream: exact.Stream, emotion: str) -> str:
  """What someone might have said who felt like this: two phrases, of which one tells the emotion in most clips.

  The nonsense that is heard is not what is written.
  """
  own = _WORDS[emotion] if stream.uniform() < _TELLING else _ANYONE
  phrases = [own[stream.integer(len(own))], _ANYONE[stream.integer(len(_ANYONE))]]
  if stream.integer(2):
    phrases.reverse()
  return '. '.join(phrases) + '.'
