"""What has been published about EDTalk's quality, as later literature quotes it.

None of it was read in the paper itself (arXiv 2404.01647): the values are those of two secondary sources, the tables of
FixTalk (arXiv 2507.01390), which quote EDTalk as a baseline, and published notes on the paper. How faces were cropped,
which detector, classifier and synchrony network measured, and which frames were taken, neither says.
"""

import dataclasses

VIDEO, AUDIO = 'EDTalk-V', 'EDTalk-A'  # every motion from the driving video; the mouth from its sound


@dataclasses.dataclass(frozen=True)
class Published:
  """A published number and whether both sources have it (`sure`) or one."""

  value: float
  sure: bool = False


# (data set, method) -> key of the metric -> number. Acc_emo in per cent.
TABLE: dict[tuple[str, str], dict[str, Published]] = {
  ('MEAD', AUDIO): {
    'psnr': Published(21.628, True),
    'ssim': Published(0.722, True),
    'm_lmd_centred': Published(1.537, True),
    'f_lmd_centred': Published(1.290),
    'fid': Published(17.698),
    'sync_c': Published(8.115),
    'acc_emo': Published(67.32, True),
  },
  ('MEAD', VIDEO): {
    'psnr': Published(22.771),
    'ssim': Published(0.769),
    'm_lmd_centred': Published(1.102),
    'fid': Published(15.548),
    'acc_emo': Published(68.85),
  },
  ('HDTF', AUDIO): {'psnr': Published(25.156)},
  ('HDTF', VIDEO): {
    'psnr': Published(26.504, True),
    'f_lmd_centred': Published(1.111),
    'fid': Published(13.172),
    'csim': Published(0.594),
    'cpbd': Published(0.221),
  },
}
