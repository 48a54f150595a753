"""Makes judges.npz and judges.json with PyTorch: what the judges return for weights drawn by name, at a few channels.

  python tests/evaluation/data/make_judges.py        (torch and torchvision; made with torch 2.13, torchvision 0.28)

Inception is torchvision's with the three pooling layers of pytorch-fid; LPIPS and SyncNet are written down here once
more from the authors' code.
"""

import functools
import json
import pathlib
import sys
import types
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

for part in ('torchvision', 'torchvision.models', 'torchvision.transforms'):  # without its compiled operators
  module = sys.modules[part] = types.ModuleType(part)
  module.__path__ = [str(path / part.replace('.', '/')) for path in map(pathlib.Path, sys.path)]
_presets = sys.modules['torchvision.transforms._presets'] = types.ModuleType('torchvision.transforms._presets')
_presets.ImageClassification = dict
from torchvision.models import inception as tv  # noqa: E402

FOLDER, NARROW = pathlib.Path(__file__).parent, 16


def draw(name, shape):
  """Weights that keep activations at one scale; variances are positive."""
  values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
  if name.endswith('running_var') or name.startswith('lin'):
    return np.abs(values).astype(np.float32) + 0.5
  if len(shape) == 1:
    return (values * 0.1 + name.endswith('weight')).astype(np.float32)
  return (values * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def fill(module):
  shapes = {name: list(t.shape) for name, t in module.state_dict().items() if 'num_batches' not in name}
  module.load_state_dict({name: torch.from_numpy(draw(name, shape)) for name, shape in shapes.items()}, strict=False)
  return module.eval(), shapes


def pictures(count, size, seed):
  return np.random.default_rng(seed).integers(256, size=(count, size, size, 3), dtype=np.uint8)


def nchw(images):
  return torch.from_numpy(images).permute(0, 3, 1, 2).float()


class Narrow(tv.BasicConv2d):
  def __init__(self, i, o, **k):
    super().__init__(i if i == 3 else i // NARROW, o // NARROW, **k)


mean = functools.partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)


class A(tv.InceptionA):
  def _forward(self, x):
    five = self.branch5x5_2(self.branch5x5_1(x))
    double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
    return [self.branch1x1(x), five, double, self.branch_pool(mean(x))]


class C(tv.InceptionC):
  def _forward(self, x):
    seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
    double = self.branch7x7dbl_2(self.branch7x7dbl_1(x))
    double = self.branch7x7dbl_5(self.branch7x7dbl_4(self.branch7x7dbl_3(double)))
    return [self.branch1x1(x), seven, double, self.branch_pool(mean(x))]


class E(tv.InceptionE):
  pool = staticmethod(mean)

  def _forward(self, x):
    three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
    return [
      self.branch1x1(x),
      self.branch3x3_2a(three),
      self.branch3x3_2b(three),
      self.branch3x3dbl_3a(double),
      self.branch3x3dbl_3b(double),
      self.branch_pool(self.pool(x)),
    ]


class Last(E):
  pool = staticmethod(functools.partial(F.max_pool2d, kernel_size=3, stride=1, padding=1))


def inception():
  blocks = [Narrow, A, tv.InceptionB, C, tv.InceptionD, E, tv.InceptionAux]
  net = tv.Inception3(aux_logits=False, init_weights=False, inception_blocks=blocks)
  net.Mixed_7c, net.fc = Last(2048, conv_block=Narrow), nn.Identity()
  sizes = {
    '5b': (192, 32),
    '5c': (256, 64),
    '5d': (288, 64),
    '6a': (288,),
    '6b': (768, 128),
    '6c': (768, 160),
    '6d': (768, 160),
    '6e': (768, 192),
    '7a': (768,),
    '7b': (1280,),
  }
  for name, arguments in sizes.items():
    setattr(net, f'Mixed_{name}', type(getattr(net, f'Mixed_{name}'))(*arguments, conv_block=Narrow))
  net, shapes = fill(net)
  x = F.interpolate(nchw(pictures(2, 64, 1)) / 255, size=(299, 299), mode='bilinear', align_corners=False) * 2 - 1
  return shapes, net(x)


def lpips(layers):
  net, shapes = fill(nn.ModuleDict({'features': nn.Sequential(*layers)}))
  taps = [k for k, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
  if len(taps) > 5:
    taps = [3, 8, 15, 22, 29]
  shift, scale = (torch.tensor(v)[None, :, None, None] for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
  found = []
  for seed in (2, 3):
    x, features = (nchw(pictures(2, 64, seed)) / 127.5 - 1 - shift) / scale, []
    for k, layer in enumerate(net['features']):
      x = layer(x)
      if k in taps:
        features.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
    found.append(features)
  total = 0
  for k, (a, b) in enumerate(zip(*found, strict=True)):
    name = f'lin{k}.model.1.weight'
    shapes[name] = [1, a.shape[1], 1, 1]
    total = total + F.conv2d((a - b).pow(2), torch.from_numpy(draw(name, shapes[name]))).mean((1, 2, 3))
  return shapes, total


def alex():
  conv = lambda i, o, *more: nn.Conv2d(i if i == 3 else i // NARROW, o // NARROW, *more)
  return [
    conv(3, 64, 11, 4, 2),
    nn.ReLU(),
    nn.MaxPool2d(3, 2),
    conv(64, 192, 5, 1, 2),
    nn.ReLU(),
    nn.MaxPool2d(3, 2),
    conv(192, 384, 3, 1, 1),
    nn.ReLU(),
    conv(384, 256, 3, 1, 1),
    nn.ReLU(),
    conv(256, 256, 3, 1, 1),
    nn.ReLU(),
  ]


def vgg():
  layers, last = [], 3
  for out in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
    layers += [nn.MaxPool2d(2)] if not out else [nn.Conv2d(last, out // NARROW, 3, padding=1), nn.ReLU()]
    last = out // NARROW or last
  return layers


class SyncNet(nn.Module):
  def __init__(self):
    super().__init__()
    n = lambda v: v // NARROW

    def stage(conv, norm, i, o, k, s, p):
      return [conv(i, n(o), k, s, p), norm(n(o)), nn.ReLU()]

    c2 = functools.partial(stage, nn.Conv2d, nn.BatchNorm2d)
    c3 = functools.partial(stage, nn.Conv3d, nn.BatchNorm3d)
    head = lambda: nn.Sequential(
      nn.Linear(n(512), n(512)), nn.BatchNorm1d(n(512)), nn.ReLU(), nn.Linear(n(512), n(1024))
    )
    self.netcnnaud = nn.Sequential(
      *c2(1, 64, 3, 1, 1),
      nn.MaxPool2d(1, 1),
      *c2(n(64), 192, 3, 1, 1),
      nn.MaxPool2d(3, (1, 2)),
      *c2(n(192), 384, 3, 1, 1),
      *c2(n(384), 256, 3, 1, 1),
      *c2(n(256), 256, 3, 1, 1),
      nn.MaxPool2d(3, 2),
      *c2(n(256), 512, (5, 4), 1, 0),
    )
    self.netcnnlip = nn.Sequential(
      *c3(3, 96, (5, 7, 7), (1, 2, 2), 0),
      nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
      *c3(n(96), 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)),
      nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
      *c3(n(256), 256, (1, 3, 3), 1, (0, 1, 1)),
      *c3(n(256), 256, (1, 3, 3), 1, (0, 1, 1)),
      *c3(n(256), 256, (1, 3, 3), 1, (0, 1, 1)),
      nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
      *c3(n(256), 512, (1, 6, 6), 1, 0),
    )
    self.netfcaud, self.netfclip = head(), head()


def syncnet():
  net, shapes = fill(SyncNet())
  frames = nchw(pictures(5, 224, 4)).permute(1, 0, 2, 3)[None]
  cepstrum = torch.from_numpy(np.random.default_rng(5).normal(size=(2, 1, 13, 20)).astype(np.float32))
  return shapes, net.netfclip(net.netcnnlip(frames).flatten(1)), net.netfcaud(net.netcnnaud(cepstrum).flatten(1))


if __name__ == '__main__':
  with torch.no_grad():
    made = {'inception': inception(), 'alex': lpips(alex()), 'vgg': lpips(vgg()), 'syncnet': syncnet()}
  every = {name: shapes for name, (shapes, *_) in made.items()}
  (FOLDER / 'judges.json').write_text(json.dumps(every) + '\n')
  np.savez(
    FOLDER / 'judges.npz',
    **{f'{name}{k}': value.numpy() for name, (_, *values) in made.items() for k, value in enumerate(values)},
  )
  for name, (_, *values) in made.items():
    print(name, *(value.flatten()[:4].tolist() for value in values))
