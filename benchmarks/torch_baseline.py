# ruff: noqa: D102 (a module's `forward` does what its class says)
"""A direct PyTorch implementation of the mouth-pose stage: what `benchmarks/versus_pytorch.py` measures ours against.

Written as the official code works, without its slips and without our rearrangements: modulated convolutions as grouped
convolutions with one kernel per sample, `conv_transpose2d`, FIR filters as one-channel convolutions, `grid_sample`,
one call of the networks per image set and two separate updates. `benchmarks/torch_weights.py` gives it our parameters;
then its losses are ours. Tensors are made on torch's default device, which has to be chosen before this is imported.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

_FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def channels(size: int) -> int:
  return min(512, 16384 // size)


def fir(x, pad, gain=1.0):
  """Depthwise [1, 3, 3, 1] filter of x[batch, channels, height, width] after zero padding."""
  batch, depth, height, width = x.shape
  x = F.pad(x.reshape(-1, 1, height, width), (*pad, *pad))
  x = F.conv2d(x, (_FIR * gain)[None, None])
  return x.reshape(batch, depth, *x.shape[2:])


def upsample(x):
  """Zero-insertion and the FIR filter with gain 4."""
  batch, depth, height, width = x.shape
  x = F.pad(x.reshape(batch, depth, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
  return fir(x.reshape(batch, depth, 2 * height, 2 * width), (2, 1), 4.0)


def activate(x, bias):
  return F.leaky_relu(x + bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2)


class Linear(nn.Module):
  """Linear layer with equalised learning rate."""

  def __init__(self, inputs, outputs, bias=0.0):
    super().__init__()
    self.weight = nn.Parameter(torch.randn(outputs, inputs))
    self.bias = nn.Parameter(torch.full((outputs,), bias))

  def forward(self, x):
    return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class Conv(nn.Module):
  """Convolution with equalised learning rate, optionally with FIR downsampling and activation."""

  def __init__(self, inputs, outputs, side, downsample=False, active=True):
    super().__init__()
    self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
    self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
    self.downsample = downsample

  def forward(self, x):
    side = self.weight.shape[-1]
    weight = self.weight / math.sqrt(self.weight[0].numel())
    if self.downsample:
      x = F.conv2d(fir(x, ((side + 2) // 2, (side + 1) // 2)), weight, stride=2)
    else:
      x = F.conv2d(x, weight, padding=side // 2)
    return x if self.bias is None else activate(x, self.bias)


class ResBlock(nn.Module):
  """Residual block that halves the resolution."""

  def __init__(self, inputs, outputs):
    super().__init__()
    self.first = Conv(inputs, inputs, 3)
    self.second = Conv(inputs, outputs, 3, downsample=True)
    self.skip = Conv(inputs, outputs, 1, downsample=True, active=False)

  def forward(self, x):
    return (self.second(self.first(x)) + self.skip(x)) / math.sqrt(2)


class Trunk(nn.Module):
  """Stem and residual blocks down to 4 pixels; returns all feature maps."""

  def __init__(self, size):
    super().__init__()
    blocks = [Conv(3, channels(size), 1)]
    while size > 4:
      blocks.append(ResBlock(channels(size), channels(size // 2)))
      size //= 2
    self.blocks = nn.ModuleList(blocks)

  def forward(self, x):
    features = []
    for block in self.blocks:
      x = block(x)
      features.append(x)
    return features


class Encoder(nn.Module):
  """Image to latent code and feature maps, 8 pixels first."""

  def __init__(self, size):
    super().__init__()
    self.trunk = Trunk(size)
    self.code = nn.Parameter(torch.randn(512, 512, 4, 4))

  def forward(self, x):
    features = self.trunk(x)
    code = F.conv2d(features[-1], self.code / math.sqrt(self.code[0].numel()))
    return code.flatten(1), features[-2::-1]


class Discriminator(nn.Module):
  """Residual trunk, minibatch standard deviation, two linear layers."""

  def __init__(self, size):
    super().__init__()
    self.trunk = Trunk(size)
    self.final = Conv(513, 512, 3)
    self.hidden = Linear(8192, 512)
    self.logit = Linear(512, 1)

  def forward(self, x):
    x = self.trunk(x)[-1]
    group = min(len(x), 4)
    deviation = x.view(group, -1, 512, 4, 4).var(0, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3))
    x = torch.cat([x, deviation.repeat(group).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)], 1)
    x = self.hidden(self.final(x).flatten(1))
    return self.logit(F.leaky_relu(x, 0.2) * math.sqrt(2))


class ModulatedConv(nn.Module):
  """One kernel per sample, applied as a grouped convolution."""

  def __init__(self, inputs, outputs, side, demodulate=True, upsample=False):
    super().__init__()
    self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
    self.style = Linear(512, inputs, 1.0)
    self.demodulate, self.upsample = demodulate, upsample

  def forward(self, x, latent):
    batch, inputs, height, width = x.shape
    outputs, _, side, _ = self.weight.shape
    weight = self.weight / math.sqrt(self.weight[0].numel()) * self.style(latent).view(batch, 1, inputs, 1, 1)
    if self.demodulate:
      weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4], keepdim=True) + 1e-8)
    x = x.reshape(1, batch * inputs, height, width)
    if self.upsample:
      weight = weight.transpose(1, 2).reshape(batch * inputs, outputs, side, side)
      x = F.conv_transpose2d(x, weight, stride=2, groups=batch)
      return fir(x.view(batch, outputs, *x.shape[2:]), (1, 1), 4.0)
    x = F.conv2d(x, weight.reshape(-1, inputs, side, side), padding=side // 2, groups=batch)
    return x.view(batch, outputs, height, width)


class StyledConv(nn.Module):
  """Modulated convolution, bias, leaky ReLU."""

  def __init__(self, inputs, outputs, upsample=False):
    super().__init__()
    self.conv = ModulatedConv(inputs, outputs, 3, upsample=upsample)
    self.bias = nn.Parameter(torch.zeros(outputs))

  def forward(self, x, latent):
    return activate(self.conv(x, latent), self.bias)


class Level(nn.Module):
  """One resolution of the generator: two styled convolutions, flow, colours."""

  def __init__(self, inputs, outputs):
    super().__init__()
    self.up = StyledConv(inputs, outputs, upsample=True)
    self.conv = StyledConv(outputs, outputs)
    self.flow = ModulatedConv(outputs, 3, 1, demodulate=False)
    self.flow_bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
    self.rgb = Conv(outputs, 3, 1)
    self.rgb_bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

  def forward(self, x, latent, features, flow, rgb):
    x = self.conv(self.up(x, latent), latent)
    raw = self.flow(x, latent) + self.flow_bias
    if flow is not None:
      raw = raw + upsample(flow)
    axis = torch.linspace(-1, 1, x.shape[-1])
    base = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), -1)
    grid = base + torch.tanh(raw[:, :2]).permute(0, 2, 3, 1)
    mask = torch.sigmoid(raw[:, 2:])
    warped = F.grid_sample(features, grid, align_corners=False) * mask
    colours = self.rgb(warped) + self.rgb_bias
    return warped + x * (1 - mask), raw, colours if rgb is None else colours + upsample(rgb)


class Generator(nn.Module):
  """Latent code and source features to image."""

  def __init__(self, size):
    super().__init__()
    self.constant = nn.Parameter(torch.randn(1, 512, 4, 4))
    self.first = StyledConv(512, 512)
    sizes = [8 << level for level in range(int(math.log2(size)) - 2)]
    self.levels = nn.ModuleList(Level(channels(s // 2), channels(s)) for s in sizes)

  def forward(self, latent, features):
    x = self.first(self.constant.repeat(len(latent), 1, 1, 1), latent)
    flow = rgb = None
    for level, source in zip(self.levels, features, strict=True):
      x, flow, rgb = level(x, latent, source, flow, rgb)
    return rgb


class Model(nn.Module):
  """Encoder, motion heads, motion bank and generator."""

  def __init__(self, size):
    super().__init__()
    self.encoder = Encoder(size)
    self.trunk = nn.Sequential(*[Linear(512, 512) for _ in range(4)])
    self.mouth = nn.Sequential(Linear(512, 512), Linear(512, 512), Linear(512, 20))
    self.pose = nn.Sequential(Linear(512, 512), Linear(512, 512), Linear(512, 6))
    self.bank = nn.Parameter(torch.randn(512, 26))
    self.generator = Generator(size)

  def motion(self, image):
    """The mouth and pose shifts of a driving image, [batch, 512] each."""
    code = self.trunk(self.encoder(image)[0])
    basis, triangle = torch.linalg.qr(self.bank + 1e-8)
    basis = basis * triangle.diagonal().sign()  # our convention: R with a positive diagonal
    return self.mouth(code) @ basis[:, :20].T, self.pose(code) @ basis[:, 20:].T

  def forward(self, source, driver):
    code, features = self.encoder(source)
    mouth, pose = self.motion(driver)
    return self.generator(code + mouth + pose, features)


class Perceptual(nn.Module):
  """VGG19 feature distance on a pyramid of anti-aliased images."""

  SLICES = ((64,), (64, 'pool', 128), (128, 'pool', 256), (256, 256, 256, 'pool', 512), (512, 512, 512, 'pool', 512))

  def __init__(self):
    super().__init__()
    slices, inputs = [], 3
    for plan in self.SLICES:
      layers = []
      for item in plan:
        if item == 'pool':
          layers.append(nn.MaxPool2d(2))
        else:
          layers += [nn.Conv2d(inputs, item, 3, padding=1), nn.ReLU(inplace=True)]
          inputs = item
      slices.append(nn.Sequential(*layers))
    self.slices = nn.ModuleList(slices)
    self.register_buffer('mean', torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
    self.register_buffer('std', torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
    self.requires_grad_(False)

  def features(self, x):
    x = (x.clamp(-1, 1) / 2 + 0.5 - self.mean) / self.std
    out = []
    for layer in self.slices:
      x = layer(x)
      out.append(x)
    return out

  @staticmethod
  def shrink(x, factor):
    """Gaussian low-pass and stride."""
    sigma = (factor - 1) / 2
    radius = round(4 * sigma)
    taps = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    x = F.conv2d(F.pad(x, (radius,) * 4), kernel.expand(3, 1, -1, -1), groups=3)
    return x[:, :, ::factor, ::factor]

  def forward(self, image, target):
    loss = 0
    for factor in (1, 2, 4, 8):
      if image.shape[-1] < 16 * factor:  # less is nothing to VGG's last pooling; only in trials at small sizes
        continue
      pair = (image, target) if factor == 1 else (self.shrink(image, factor), self.shrink(target, factor))
      for ours, theirs in zip(self.features(pair[0]), self.features(pair[1]), strict=True):
        loss = loss + 10 * (ours - theirs.detach()).abs().mean()
    return loss


class Trainer:
  """The two updates of the mouth-pose stage.

  Attributes:
    model_loss, discriminator_loss: the forward passes, which may be replaced by `torch.compile` of them.
  """

  def __init__(self, size):
    self.model, self.discriminator, self.perceptual = Model(size), Discriminator(size), Perceptual()
    adam = lambda module, n: torch.optim.Adam(
      module.parameters(), 0.002 * n / (n + 1), betas=(0.0, 0.99 ** (n / (n + 1)))
    )
    self.model_optimizer, self.discriminator_optimizer = adam(self.model, 4), adam(self.discriminator, 16)
    self.model_loss, self.discriminator_loss = self._model_loss, self._discriminator_loss

  def _model_loss(self, batch):
    """Returns the loss and the crossed reconstructions, detached."""
    model = self.model
    sources = [model.encoder(batch[name]) for name in ('source_a', 'source_b')]
    drivers = ('target_a', 'target_b', 'target_a_mouth_b', 'target_b_mouth_a')
    mouths, poses = zip(*[model.motion(batch[name]) for name in drivers], strict=True)
    plan = ((0, 0, 0), (1, 1, 1), (0, 3, 2), (1, 2, 3))  # source, mouth and pose of each output
    images = [model.generator(sources[s][0] + mouths[m] + poses[p], sources[s][1]) for s, m, p in plan]
    targets = [batch['target_a'], batch['target_b']] * 2
    loss = F.softplus(-self.discriminator(torch.cat(images))).mean()
    for image, target in zip(images, targets, strict=True):
      loss = loss + self.perceptual(image, target) + F.l1_loss(image, target)
    for space in (mouths, poses):
      mine, other = (3, 2) if space is mouths else (2, 3)
      # The sum over the official batch of 4.
      loss = loss + 4 * torch.exp(-F.cosine_similarity(space[mine], space[0])).mean()
      loss = loss + 4 * torch.exp(-F.cosine_similarity(space[other], space[1])).mean()
    return loss, torch.cat(images[2:]).detach()

  def _discriminator_loss(self, batch, fake):
    """On real targets and on the crossed reconstructions."""
    real = torch.cat([batch['target_a'], batch['target_b']])
    return F.softplus(-self.discriminator(real)).mean() + F.softplus(self.discriminator(fake)).mean()

  def step(self, batch):
    """Generator update, then discriminator update. Returns both losses."""
    self.model.requires_grad_(True)
    self.discriminator.requires_grad_(False)
    loss, fake = self.model_loss(batch)
    self.model_optimizer.zero_grad()
    loss.backward()
    self.model_optimizer.step()
    self.model.requires_grad_(False)
    self.discriminator.requires_grad_(True)
    discriminator_loss = self.discriminator_loss(batch, fake)
    self.discriminator_optimizer.zero_grad()
    discriminator_loss.backward()
    self.discriminator_optimizer.step()
    return loss.detach(), discriminator_loss.detach()
