"""Reading compiled programs: schedule, cycles, collectives."""

import pytest

from edtalk_jax.reporting import collectives, cycles, hlo, topology
from edtalk_jax.reporting.hlo import Frame
from tests.reporting import programs

MIB = 2**20
SLICE = topology.parse('v5e:2x4')  # shorter than a ring: one link each way in both dimensions


@pytest.fixture(scope='module')
def module():
  return hlo.parse(programs.TEXT)


@pytest.mark.parametrize(
  ('shape', 'size'),
  [
    ('bf16[8,128]{1,0:T(8,128)(2,1)S(1)}', 2048),
    ('f32[]', 4),
    ('(f32[4]{0}, pred[3]{0}, u32[]{:S(2)}, s4[8])', 16 + 3 + 4 + 4),
    ('f8e4m3fn[16]', 16),
    ('token[]', 0),
  ],
)
def test_bytes_of_types(shape, size):
  assert hlo.size(shape) == size


def test_instructions_know_what_they_read_and_call(module):
  fusion = next(i for i, _ in module.scheduled() if i.name == 'fusion.1')
  assert (fusion.opcode, fusion.operands, fusion.called) == ('fusion', ['param.1', 'param.2'], ('fused_computation',))
  assert [inner.opcode for inner in module.inside(fusion)] == ['parameter', 'parameter', 'convolution', 'maximum']


def test_stacks_begin_where_the_operation_was_made(module):
  assert [frame.function for frame in module.stack(3)] == ['add', 'blur', 'train_step.<locals>.loss']
  assert module.stack(1) == [Frame('/home/someone/edtalk_jax/training/step.py', 'train_step.<locals>.loss', 40)]
  assert module.stack(0) == []


def test_cycles_by_kind_count_every_turn_of_a_loop(module):
  found = {share.name: share.cycles for share in cycles.by_kind(module)}
  assert found == {'convolution': 3000, 'elementwise': 500, cycles.COPIES: 1000 + 5 * 100}


def test_turns_of_a_loop_are_found_in_its_condition():
  counted = (
    '  %turn = s32[] get-tuple-element(%state), index=0\n  %limit = s32[] constant(4)\n'
    '  ROOT %less = pred[] compare(%turn, %limit), direction=LT\n'
  )
  text = programs.TEXT.replace('  ROOT %less = pred[] constant(false)\n', counted)
  text = text.replace(', backend_config={"known_trip_count":{"n":"5"}}', '')
  assert {share.name: share.cycles for share in cycles.by_kind(hlo.parse(text))}[cycles.COPIES] == 1000 + 4 * 100


def test_cycles_by_function_of_ours(module):
  found = {share.name: share.cycles for share in cycles.by_source(module)}
  assert found == {'ops/resample blur (backward)': 3000, 'training/step train_step.loss': 500, 'unknown': 1500}


def test_lookups_without_cycles_are_named_and_others_are_not(module):
  assert cycles.without_estimate(module) == []
  line = '  %looked.{n} = f32[8,128]{{1,0}} gather(%fusion.1, %weights), offset_dims={{1}}{rest}\n'
  cost = ', backend_config={"window_config":{"estimated_cycles":"7"}}'
  text = programs.TEXT.replace('  %state.2 =', line.format(n=1, rest='') + line.format(n=2, rest=cost) + '  %state.2 =')
  assert cycles.without_estimate(hlo.parse(text)) == [cycles.Share('gather', 0, 1)]


def test_collectives_have_groups_bytes_and_time(module):
  gather, reduce, permute = collectives.find(module, SLICE, 8)
  assert (gather.kind, gather.group, gather.size) == ('all-gather', 8, MIB)
  assert (reduce.kind, reduce.group, reduce.size) == ('all-reduce', 8, 4 * MIB)
  assert (permute.kind, permute.group, permute.size) == ('collective-permute', 2, MIB)
  # Seven parts from the others; twice seven eighths; itself, five times. 50 GB/s a link, two of them.
  assert gather.seconds == pytest.approx(7 * MIB / 100e9)
  assert reduce.seconds == pytest.approx(2 * 7 / 8 * 4 * MIB / 100e9)
  assert permute.seconds == pytest.approx(5 * MIB / 100e9)


def test_only_what_is_computed_between_start_and_done_hides_a_collective(module):
  gather, reduce, permute = collectives.find(module, SLICE, 8)
  assert gather.hidden == pytest.approx(3000 / 1.5e9)
  assert reduce.hidden == permute.hidden == 0


def test_two_collectives_cannot_hide_behind_the_same_computation():
  start = next(line for line in programs.TEXT.splitlines() if 'all-gather-start(' in line)
  done = next(line for line in programs.TEXT.splitlines() if 'all-gather-done(' in line)
  second = lambda line: line.replace('-start.1', '-start.2').replace('-done.1', '-done.2')
  text = programs.TEXT.replace(start, start + '\n' + second(start)).replace(done, done + '\n' + second(done))
  first, other, *_ = collectives.find(hlo.parse(text), SLICE, 8)
  assert first.hidden + other.hidden == pytest.approx(3000 / 1.5e9)


def test_a_collective_that_fusions_carry_along_counts_once():
  carried = """
%carry{n} (value.{n}: f32[262144]) -> f32[2097152] {{
  %value.{n} = f32[262144]{{0}} parameter(0)
  ROOT %gathered.{n} = f32[2097152]{{0}} all-gather(%value.{n}), channel_id=5, replica_groups=[1,8]<=[8]
}}
"""
  fusion = (
    '  %carry.{n} = f32[2097152]{{0}} fusion(%weights), kind=kCustom, calls=%carry{n}, '
    'backend_config={{"window_config":{{"estimated_cycles":"{cycles}"}}}}\n'
  )
  lines = ''.join(fusion.format(n=n, cycles=cycles) for n, cycles in ((1, 0), (2, 600), (3, 0)))
  text = programs.TEXT.replace('ENTRY', ''.join(carried.format(n=n) for n in (1, 2, 3)) + '\nENTRY')
  found = collectives.find(hlo.parse(text.replace('  %state.2 =', lines + '  %state.2 =')), SLICE, 8)
  assert [one.kind for one in found] == ['all-gather', 'all-reduce', 'all-gather', 'collective-permute']
  assert (found[2].size, found[2].hidden) == (MIB, pytest.approx(600 / 1.5e9))


@pytest.mark.parametrize(
  ('groups', 'size'),
  [
    ('replica_groups={{0,1,2,3},{4,5,6,7}}', 4),
    ('replica_groups=[4,2]<=[8]', 2),
    ("replica_groups=mesh['a'=2,'b'=4] {'b'}", 4),
    ('replica_groups={}', 8),
  ],
)
def test_every_way_to_write_groups(groups, size):
  text = programs.TEXT.replace("replica_groups=mesh['a'=8,'b'=1] {'a'}", groups)
  assert collectives.find(hlo.parse(text), SLICE, 8)[1].group == size


def test_across_slices_the_network_carries_each_chips_share():
  two = topology.parse('v5e:2x4', slices=2)
  one_slice = collectives.link_seconds('all-reduce', 8 * MIB, 8, SLICE, 8)
  both = collectives.link_seconds('all-reduce', 8 * MIB, 16, two, 16)
  # Each of 8 chips sends twice one half of its eighth.
  assert both - one_slice == pytest.approx(MIB / two.chip.network_bandwidth)


def test_text_that_is_no_program_is_refused():
  with pytest.raises(ValueError, match='no ENTRY'):
    hlo.parse('nothing')
