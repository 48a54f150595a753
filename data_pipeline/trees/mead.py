"""MEAD (Wang et al., ECCV 2020): its front views, one clip a sentence.

As distributed: ACTOR/video/front/EMOTION/level_K/NNN.mp4, the sound also in ACTOR/audio/EMOTION/level_K/NNN.m4a. Files
that are already called as EDTalk's lists call them (M003#angry#level_1#001.mp4) are taken in any folder.
"""

import pathlib
import re
from collections.abc import Sequence

from data_pipeline.cutting import LONGEST, WHOLE, Excerpt
from data_pipeline.identities import EMOTIONS, MEAD_NAME, Label
from data_pipeline.inputs import VIDEO_ENDINGS, Listing, Video, in_order

_PLACE = r'(?P<emotion>[A-Za-z]+)/level_(?P<level>[1-3])/(?P<sentence>\d{1,3})$'
_VIDEO = re.compile(rf'(?:^|.*/)(?P<actor>[MW]\d{{3}})(?!\d)[^/]*/(?:[^/]+/)*?(?P<view>front)/{_PLACE}')
_OTHER_VIEW = re.compile(r'/(?:down|top|left_\d\d|right_\d\d)/[a-z]+/level_\d/\d+$')
_SOUND = re.compile(rf'(?:^|.*/)(?P<actor>[MW]\d{{3}})(?!\d)[^/]*/(?:[^/]+/)*?audio/{_PLACE}')
_SOUND_ENDINGS = {'.m4a', '.wav', '.mp3', '.aac'}
# Words of copies that others have made, for the words of EDTalk's lists.
_WORDS = {
  'anger': 'angry',
  'disgust': 'disgusted',
  'fearful': 'fear',
  'happiness': 'happy',
  'sadness': 'sad',
  'surprise': 'surprised',
}


def find(files: Sequence[pathlib.Path]) -> Listing:
  """Lists the front views among `files` as 'M003#angry#level_1#001': actor, emotion, level, sentence.

  Raises:
    DataError: if two files are the same sentence.
  """
  sounds = {name: path for path in files if path.suffix.lower() in _SOUND_ENDINGS and (name := _name(_SOUND, path))}
  found, others = [], 0
  for path in files:
    if path.suffix.lower() not in VIDEO_ENDINGS:
      continue
    name = path.stem if MEAD_NAME.match(path.stem) else _name(_VIDEO, path)
    if not name:
      others += bool(_OTHER_VIEW.search(path.with_suffix('').as_posix()))
      continue
    actor, emotion, level, _ = name.split('#')
    excerpt = Excerpt(cut=WHOLE, follow=LONGEST, sound=sounds.get(name))
    label = Label(actor, emotion, int(level.removeprefix('level_')))
    found.append((Video(path, name, excerpt=excerpt), label))
  return in_order(found, (f'{others} videos of other views are left out',) if others else ())


def _name(pattern: re.Pattern[str], path: pathlib.Path) -> str:
  """Returns the official name of a file, '' if it is none of this data set."""
  match = pattern.match(path.with_suffix('').as_posix())
  if not match:
    return ''
  word = match['emotion'].lower()
  emotion = _WORDS.get(word, word)
  if emotion not in EMOTIONS:
    return ''
  return f'{match["actor"]}#{emotion}#level_{match["level"]}#{int(match["sentence"]):03d}'
