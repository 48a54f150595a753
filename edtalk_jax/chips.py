"""Accelerators: what one chip can do. The only place with numbers about hardware; prices are in reporting/prices.toml.

Vendors' peaks are reached by no program; they are what model FLOPs utilisation (MFU) is measured against.
"""

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """One chip, as it is rented. Some chips are several devices to JAX, which share these numbers.

  Attributes:
    name: as in `--topology NAME:...`.
    platform: 'tpu' or 'cuda'.
    kinds: what JAX calls its devices (`jax.Device.device_kind`).
    peak: dense bfloat16 FLOP/s.
    memory: bytes of HBM that programs can have. TPUs: what libtpu 0.0.42 says when it refuses a larger program; the
      vendor's number is up to 2.5 GiB more.
    bandwidth: HBM bytes/s.
    links: to other chips of its slice (TPU: torus neighbours; GPU: NVLink).
    link_bandwidth: bytes/s of one link in one direction.
    network_bandwidth: bytes/s in one direction between slices (TPU: data-centre network), for each chip.
    clock: Hz of the compiler's estimated cycles; 0 where there are none.
    devices: of JAX, which share the chip.
    compiler: options of the compiler with which a train step is estimated to be faster (docs/performance.md).
    ring: chips that a dimension of a slice must have for its ends to be connected, if they ever are.
    source: where the numbers are from.
  """

  name: str
  platform: str
  kinds: tuple[str, ...]
  peak: float
  memory: float
  bandwidth: float
  links: int
  link_bandwidth: float
  network_bandwidth: float = 0.0
  clock: float = 0.0
  devices: int = 1
  compiler: tuple[tuple[str, str], ...] = ()
  ring: int = 0
  source: str


_TPU_DOCS = 'https://docs.cloud.google.com/tpu/docs/'
# What an operation may use of 128 MiB on the chip, where the compiler's own limit is 16, and of what others leave
# there. Compiled for v5e and v5p alone.
_MORE_ON_CHIP = (('xla_tpu_scoped_vmem_limit_kib', '49152'), ('xla_tpu_scavenge_vmem_for_fusions', 'true'))
# The clocks of v4, v5e and v5p are peak / (2 * 128 * 128 * matrix units), 4 units a core (TPU docs).
# ICI: the docs give both directions of all links together; the data-centre network per chip, or of a pod.
CHIPS: tuple[Chip, ...] = (
  Chip(
    name='v4',
    platform='tpu',
    kinds=('TPU v4',),
    peak=275e12,
    memory=30.5 * GIB,
    bandwidth=1.2e12,
    links=6,
    link_bandwidth=50e9,
    network_bandwidth=3.1e9,
    clock=1.05e9,
    ring=4,
    source=_TPU_DOCS + 'v4',
  ),
  Chip(
    name='v5e',
    platform='tpu',
    kinds=('TPU v5 lite', 'TPU v5e'),
    peak=197e12,
    memory=15.75 * GIB,
    bandwidth=819e9,
    links=4,
    link_bandwidth=50e9,
    network_bandwidth=3.1e9,
    clock=1.5e9,
    ring=16,
    source=_TPU_DOCS + 'v5e',
    compiler=_MORE_ON_CHIP,
  ),
  Chip(
    name='v5p',
    platform='tpu',
    kinds=('TPU v5', 'TPU v5p'),
    peak=459e12,
    memory=95.74 * GIB,
    bandwidth=2765e9,
    links=6,
    link_bandwidth=100e9,
    network_bandwidth=6.25e9,
    clock=1.75e9,
    ring=4,
    source=_TPU_DOCS + 'tpu7x',
    compiler=_MORE_ON_CHIP,
  ),
  Chip(
    name='v6e',
    platform='tpu',
    kinds=('TPU v6 lite', 'TPU v6e'),
    peak=918e12,
    memory=31.25 * GIB,
    bandwidth=1638e9,
    links=4,
    link_bandwidth=100e9,
    network_bandwidth=12.5e9,
    clock=1.75e9,
    ring=16,
    source=_TPU_DOCS + 'tpu7x',
  ),
  Chip(
    name='tpu7x',
    platform='tpu',
    kinds=('TPU7x',),
    peak=2307e12,
    memory=189.5 * GIB,
    bandwidth=7380e9,
    links=6,
    link_bandwidth=100e9,
    network_bandwidth=12.5e9,
    clock=2.2e9,
    devices=2,
    ring=4,
    source=_TPU_DOCS + 'tpu7x',
  ),
  # Dense peaks: the data sheets print twice as much, with sparsity.
  Chip(
    name='a100',
    platform='cuda',
    kinds=('NVIDIA A100-SXM4-80GB',),
    peak=312e12,
    memory=80e9,
    bandwidth=2039e9,
    links=12,
    link_bandwidth=25e9,
    source='https://www.nvidia.com/en-us/data-center/a100/',
  ),
  Chip(
    name='h100',
    platform='cuda',
    kinds=('NVIDIA H100 80GB HBM3',),
    peak=989.5e12,
    memory=80e9,
    bandwidth=3350e9,
    links=18,
    link_bandwidth=25e9,
    source='https://www.nvidia.com/en-us/data-center/h100/',
  ),
  Chip(
    name='h200',
    platform='cuda',
    kinds=('NVIDIA H200',),
    peak=989.5e12,
    memory=141e9,
    bandwidth=4800e9,
    links=18,
    link_bandwidth=25e9,
    source='https://www.nvidia.com/en-us/data-center/h200/',
  ),
)
BY_NAME = {chip.name: chip for chip in CHIPS}


def of_kind(device_kind: str) -> Chip | None:
  """The chip that JAX calls `device_kind`, or None: a CPU, or one that is not in the table."""
  return next((chip for chip in CHIPS if device_kind in chip.kinds), None)


def peak_flops(device_kind: str, dtype: str) -> float | None:
  """FLOP/s of one device of JAX in 'bfloat16' or 'float32', None if its chip is not in the table.

  float32 is meant as JAX multiplies it by default: TPUs in bfloat16, NVIDIA's GPUs in TF32, at half the rate.
  """
  chip = of_kind(device_kind)
  if chip is None:
    return None
  return chip.peak / chip.devices / (2 if (chip.platform, dtype) == ('cuda', 'float32') else 1)
