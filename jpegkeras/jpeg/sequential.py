"""Scans of sequential frames, decoded two at a time (T.81 F.2.2).

Decoding is a chain: the next look-up cannot begin before the last one has said how many bits it
used up. So the speed is that of one chain, whatever else a processor could do meanwhile. Hence
- look-ups that yield two coefficients (huffman.py);
- no branch where a block ends, since it cannot be predicted: a flag of the entry selects the next
  table, the next place and the next block (_step);
- two scans in turns, of two images of a batch: two chains at once (_run_two).

Blocks are decoded one behind the other into a buffer of some BUFFER_BLOCKS, with differences in
place of DC coefficients; whole MCUs of it are then added up and copied to where they belong
(_drain). The buffer stays in the cache, and out is written once.

Look-ups go in groups of GROUP, which one window of the next 64 bits serves. The window carries a
bit set behind its last valid one, so that how many were used up need not be counted: it is where
that bit has moved to.

Whatever is not in order makes a scan declined, without saying why: scan.py decodes it again and
says. Kernels take addresses for the reason that memory.py gives.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jpegkeras.jpeg.huffman import (
    AC_CLASS,
    DC_CLASS,
    EOB_SYMBOL,
    LIMITS,
    LOOKUP_BITS,
    MAX_AC_SIZE,
    MAX_CODE_LENGTH,
    MAX_DC_SIZE,
    RARE,
    SHIFTS,
    SYMBOLS,
    TABLE_SIZE,
    ZRL_SYMBOL,
    HuffmanTable,
    build_pair_tables,
)
from jpegkeras.jpeg.memory import (
    clear_block,
    copy_block,
    count_trailing_zeros,
    inlined,
    load,
    load_big_endian,
    region,
    spread_sign,
    store_coefficient,
)
from jpegkeras.jpeg.scan import MAX_DC, OK, UNSTUFF_PADDING, unstuff

MAX_COMPONENTS = 4
# A row of jobs: what is about the scan, then about each of its components.
START = 0  # where its entropy-coded data begins in data
END = 1  # where its file ends
INTERVALS = 2  # how many restart intervals there must be
INTERVAL = 3  # MCUs in one
MCU_ROWS = 4
MCU_COLUMNS = 5
COMPONENTS = 6  # how many components
COMPONENT = 7
# Of a component, from COMPONENT + index * COMPONENT_FIELDS on:
V = 0  # blocks in an MCU
H = 1
ROWS = 2  # blocks to keep
COLUMNS = 3
OFFSET = 4  # where they begin in out, in coefficients
TABLES = 5  # address of its huffman.PairTables
COMPONENT_FIELDS = 6
JOB_FIELDS = COMPONENT + MAX_COMPONENTS * COMPONENT_FIELDS

# Statuses besides OK.
DECLINED = -1
GOING_ON = -2

# What is known of the scan being decoded: _start() sets it up.
_JOB = 0  # its row of jobs; -1: none
_POSITION = 1  # bits
_INTERVAL_END = 2  # bits
_K = 3  # place in the present block; 0: its DC coefficient comes next
_BLOCK = 4  # the present block of the buffer
_NUMBER = 5  # of the restart interval
_MCUS = 6  # copied out so far
_LEFT = 7  # MCUs of the interval that are not copied out yet
_STATE_FIELDS = 8

_u64 = np.uint64
_BLOCK_BYTES = _u64(128)
BUFFER_BLOCKS = 96
#: Look-ups that the 57 bits serve which are valid in a window from any position.
GROUP = 57 // LOOKUP_BITS
# A group runs on past BUFFER_BLOCKS, and what comes behind the last block is looked at already.
_CAPACITY = BUFFER_BLOCKS + GROUP + 2
_PADDING_BYTES = 64
_FRONT = _u64(64 - LOOKUP_BITS)
_MARK = _u64(64)
_VALID = ~_u64(127)
# No position comes near; what is added to it afterwards does not overflow.
_LOST = _u64(1 << 60)
# An entry of a sequence: what to add to the second element for the table of the next block's DC
# coefficient, and the table of this block's AC coefficients.
_SEQUENCE_BYTES = _u64(16)


@inlined
def _bits_at(stream, position):  # noqa: ANN001, ANN202
    """Return a window of 57 valid bits or more from a position on; zeros follow the stream."""
    address = min(stream[0] + (position >> _u64(3)), stream[1] - _u64(8))
    return load_big_endian(stream, address) << (position & _u64(7))


@inlined
def _open_window(stream, position):  # noqa: ANN001, ANN202
    return _bits_at(stream, position) & _VALID | _MARK


@inlined
def _used_up(window):  # noqa: ANN001, ANN202
    return count_trailing_zeros(window) - _u64(6)


@njit(cache=True, nogil=True)
def _find_code(tables, table, window):  # noqa: ANN001, ANN202
    """Return (length, symbol) of the code at the front of the window, by T.81 F.2.2.3.

    Length 0: there is no such code.
    """
    front = window >> _u64(64 - MAX_CODE_LENGTH)
    for length in range(1, MAX_CODE_LENGTH + 1):
        if front < load(tables, table + _u64(8 * (LIMITS + length))):
            shift = load(tables, table + _u64(8 * (SHIFTS + length)))
            index = ((front >> _u64(MAX_CODE_LENGTH - length)) + shift) & _u64(255)
            return _u64(length), load(tables, table + _u64(8 * SYMBOLS) + _u64(8) * index)
    return _u64(0), _u64(0)


@inlined
def _decode_rare(stream, tables, buffer, table, entry, position, k, target):  # noqa: ANN001, ANN202
    """Decode what an entry cannot say or must not say so near the end of a block.

    Returns (position, k, whether the block is done). The position is _LOST if this is no code, no
    legal symbol or past the end of the block.
    """
    first = (entry >> _u64(8)) & _u64(255)
    second = (entry >> _u64(16)) & _u64(255)
    if second == _u64(RARE):
        window = _bits_at(stream, position)
        length = entry & _u64(63)
        symbol = (entry >> _u64(24)) & _u64(255)
        if length == _u64(0):
            length, symbol = _find_code(tables, table, window)
            if length == _u64(0):
                return _LOST, k, False
        size = symbol
        step = _u64(1)
        if k != _u64(0):
            if symbol == _u64(EOB_SYMBOL):
                return position + length, k, True
            size = symbol & _u64(15)
            step = (symbol >> _u64(4)) + _u64(1)
            if size > _u64(MAX_AC_SIZE) or (size == _u64(0) and symbol != _u64(ZRL_SYMBOL)):
                return _LOST, k, False
        elif size > _u64(MAX_DC_SIZE):
            return _LOST, k, False
        if k + step > _u64(64):
            return _LOST, k, False
        # Without a branch (T.81 F.2.2.1): if the first bit is 0, the value is 1 - 2^size less.
        bits = window << length
        value = (bits >> _u64(1)) >> (_u64(63) - size)
        value -= ~spread_sign(bits) & ((_u64(1) << size) - _u64(1))
        store_coefficient(buffer, target + _u64(2) * step, value)
        k += step
        return position + length + size, k, k == _u64(64)
    alone = (entry >> _u64(56)) & _u64(63)
    if alone != _u64(0):
        if k + first > _u64(64):
            return _LOST, k, False
        store_coefficient(buffer, target + _u64(2) * first, entry >> _u64(24))
        if k + first == _u64(64):
            return position + alone, k, True
    position += entry & _u64(63)
    if spread_sign(entry) != _u64(0):
        return position, k, True
    if k + second > _u64(64):
        return _LOST, k, False
    store_coefficient(buffer, target + _u64(2) * second, entry >> _u64(40))
    return position, k + second, True


@inlined
def _step(stream, tables, sequence, buffer, window, position, k, block, table):  # noqa: ANN001, ANN202
    """Decode up to two coefficients by one look-up.

    Args:
        stream: region of the unstuffed data.
        tables: region of the tables.
        sequence: region of the sequence.
        buffer: region of the buffer.
        window: the bits that come next, with _MARK behind them.
        position: where the window was opened.
        k: place in the block.
        block: where the block's entry of the sequence lies, counted from the sequence's second
            element: 16 times its number.
        table: address of the present table.

    Returns:
        The last five, as they are afterwards.
    """
    entry = load(tables, table + ((window >> _FRONT) << _u64(3)))
    second = (entry >> _u64(16)) & _u64(255)
    after = k + second
    this = sequence[0] + _SEQUENCE_BYTES + block
    # Places are counted from 1.
    target = buffer[0] + (block << _u64(3)) + (k << _u64(1)) - _u64(2)
    if after >= _u64(64):
        position += _used_up(window)
        position, k, done = _decode_rare(stream, tables, buffer, table, entry, position, k, target)
        table = load(sequence, this + _u64(8))
        if done:
            table += load(sequence, this)
            block += _SEQUENCE_BYTES
            k = _u64(0)
        window = _open_window(stream, position)
    else:
        store_coefficient(buffer, target + ((entry >> _u64(7)) & _u64(510)), entry >> _u64(24))
        store_coefficient(buffer, target + (second << _u64(1)), entry >> _u64(40))
        window <<= entry & _u64(63)
        ends = spread_sign(entry)
        k = after & ~ends
        table = load(sequence, this + _u64(8)) + (load(sequence, this) & ends)
        block += ends & _SEQUENCE_BYTES
    return window, position, k, block, table


@inlined
def _present_table(sequence, k, block):  # noqa: ANN001, ANN202
    this = sequence[0] + _SEQUENCE_BYTES + block
    if k != _u64(0):
        return load(sequence, this + _u64(8))
    before = this - _SEQUENCE_BYTES
    return load(sequence, before + _u64(8)) + load(sequence, before)


# These run until a block at or past the limit begins (16 times its number, as _step counts) or the
# data ends: _run_one and _run_two by groups, _finish step by step.


@njit(cache=True, nogil=True)
def _run_one(stream, tables, sequence, buffer, position, end, k, block, limit):  # noqa: ANN001, ANN202
    table = _present_table(sequence, k, block)
    while block < limit and position <= end:
        window = _open_window(stream, position)
        for _ in range(GROUP):
            window, position, k, block, table = _step(
                stream, tables, sequence, buffer, window, position, k, block, table
            )
        position += _used_up(window)
    return position, k, block


@njit(cache=True, nogil=True)
def _finish(stream, tables, sequence, buffer, position, end, k, block, limit):  # noqa: ANN001, ANN202
    table = _present_table(sequence, k, block)
    while block < limit and position <= end:
        window = _open_window(stream, position)
        window, position, k, block, table = _step(
            stream, tables, sequence, buffer, window, position, k, block, table
        )
        position += _used_up(window)
    return position, k, block


@njit(cache=True, nogil=True)
def _run_two(  # noqa: ANN202
    stream, tables, sequence, buffer, position, end, k, block, limit,  # noqa: ANN001
    stream2, tables2, sequence2, buffer2, position2, end2, k2, block2, limit2,  # noqa: ANN001
):  # fmt: skip
    table = _present_table(sequence, k, block)
    table2 = _present_table(sequence2, k2, block2)
    while block < limit and position <= end and block2 < limit2 and position2 <= end2:
        window = _open_window(stream, position)
        window2 = _open_window(stream2, position2)
        for _ in range(GROUP):
            window, position, k, block, table = _step(
                stream, tables, sequence, buffer, window, position, k, block, table
            )
            window2, position2, k2, block2, table2 = _step(
                stream2, tables2, sequence2, buffer2, window2, position2, k2, block2, table2
            )
        position += _used_up(window)
        position2 += _used_up(window2)
    return position, k, block, position2, k2, block2


@inlined
def _field(component, name):  # noqa: ANN001, ANN202
    return COMPONENT + component * COMPONENT_FIELDS + name


@njit(cache=True, nogil=True)
def _count_blocks(job):  # noqa: ANN001, ANN202
    """Return how many blocks an MCU has."""
    blocks = 0
    for component in range(job[COMPONENTS]):
        blocks += job[_field(component, V)] * job[_field(component, H)]
    return blocks


@njit(cache=True, nogil=True)
def _table_region(job):  # noqa: ANN001, ANN202
    """Return a region that all tables of a scan lie in."""
    first = last = job[_field(0, TABLES)]
    for component in range(1, job[COMPONENTS]):
        first = min(first, job[_field(component, TABLES)])
        last = max(last, job[_field(component, TABLES)])
    return _u64(first), _u64(last + 2 * 8 * TABLE_SIZE)


@njit(cache=True, nogil=True)
def _start(data, jobs, ends, number, state, stream, starts, sequence, buffer, predictions):  # noqa: ANN001, ANN202
    """Get ready to decode the scan of that row of jobs; return False if it is declined."""
    job = jobs[number]
    status, ends[number], _, restarts = unstuff(
        data, job[START], job[END], starts[: job[INTERVALS] + 1], stream
    )
    if status != OK or restarts != job[INTERVALS] - 1:
        return False
    buffer[:] = 0
    # Each block's DC table next to the AC table of the block before, from the first block on.
    at = 0
    ac_table = 0
    while at < sequence.size:
        for component in range(job[COMPONENTS]):
            dc_table = job[_field(component, TABLES)]
            for _ in range(job[_field(component, V)] * job[_field(component, H)]):
                if at < sequence.size:
                    sequence[at] = _u64(dc_table - ac_table)
                    sequence[at + 1] = _u64(ac_table)
                    ac_table = dc_table + 8 * TABLE_SIZE
                    at += 2
    state[_JOB] = number
    state[_NUMBER] = -1
    state[_MCUS] = 0
    state[_LEFT] = 0
    _begin_interval(job, state, starts, predictions)
    return True


@njit(cache=True, nogil=True)
def _begin_interval(job, state, starts, predictions):  # noqa: ANN001, ANN202
    state[_NUMBER] += 1
    state[_POSITION] = starts[state[_NUMBER]]
    state[_INTERVAL_END] = starts[state[_NUMBER] + 1]
    state[_K] = 0
    state[_BLOCK] = 0
    state[_LEFT] = min(job[INTERVAL], job[MCU_ROWS] * job[MCU_COLUMNS] - state[_MCUS])
    predictions[:] = 0


@njit(cache=True, nogil=True)
def _advance(job, state, starts, buffer, predictions, frequencies, out):  # noqa: ANN001, ANN202
    """Copy out what is decoded, and go on to the next restart interval where one is complete.

    Returns:
        A status: OK if the scan is complete, else GOING_ON or DECLINED.
    """
    if state[_POSITION] > state[_INTERVAL_END]:
        return DECLINED
    if not _drain(job, state, buffer, predictions, frequencies, out):
        return DECLINED
    if state[_LEFT] > 0:
        return GOING_ON
    if state[_INTERVAL_END] - state[_POSITION] >= 8:
        return DECLINED
    if state[_NUMBER] + 1 == job[INTERVALS]:
        return OK
    _begin_interval(job, state, starts, predictions)
    return GOING_ON


@njit(cache=True, nogil=True)
def _drain(job, state, buffer, predictions, frequencies, out):  # noqa: ANN001, ANN202
    """Copy the whole MCUs of the buffer to out, and move what is left to the buffer's front.

    Returns False if a DC coefficient is out of range.
    """
    mcu_blocks = _count_blocks(job)
    mcus = min(state[_BLOCK] // mcu_blocks, state[_LEFT])
    if not _add_differences(job, mcu_blocks, mcus, buffer, predictions):
        return False
    _copy_mcus(job, mcu_blocks, state[_MCUS], mcus, buffer, frequencies, out)
    state[_MCUS] += mcus
    state[_LEFT] -= mcus
    if mcus > 0:
        place = region(buffer)
        moved = mcus * mcu_blocks
        left = state[_BLOCK] - moved
        for index in range(left + 1):  # the last one may be half decoded
            source = place[0] + _BLOCK_BYTES * _u64(moved + index)
            copy_block(place, source, place, place[0] + _BLOCK_BYTES * _u64(index), 64)
        for index in range(left + 1, state[_BLOCK] + 1):
            clear_block(place, place[0] + _BLOCK_BYTES * _u64(index))
        state[_BLOCK] = left
    return True


@njit(cache=True, nogil=True)
def _add_differences(job, mcu_blocks, mcus, buffer, predictions):  # noqa: ANN001, ANN202
    """Turn the DC differences of the buffer into coefficients (T.81 F.1.1.5.1)."""
    first = _u64(0)
    wrong = False
    for component in range(job[COMPONENTS]):
        blocks = job[_field(component, V)] * job[_field(component, H)]
        prediction = predictions[component]
        at = first
        for _ in range(mcus):
            here = at
            for _ in range(blocks):
                prediction += buffer[here]
                wrong |= prediction > MAX_DC or prediction < -MAX_DC
                buffer[here] = prediction
                here += _u64(64)
            at += _u64(64 * mcu_blocks)
        predictions[component] = prediction
        first += _u64(64 * blocks)
    return not wrong


@njit(cache=True, nogil=True)
def _copy_mcus(job, mcu_blocks, mcu, mcus, buffer, frequencies, out):  # noqa: ANN001, ANN202
    """Copy that many MCUs, of which the first is number mcu of the scan, row of MCUs by row."""
    source_region = region(buffer)
    target_region = region(out)
    source_row = source_region[0]
    mcu_columns = job[MCU_COLUMNS]
    while mcus > 0:
        mcu_row = mcu // mcu_columns
        mcu_column = mcu - mcu_row * mcu_columns
        run = min(mcus, mcu_columns - mcu_column)
        source_block = source_row
        for component in range(job[COMPONENTS]):
            v, h = job[_field(component, V)], job[_field(component, H)]
            columns = job[_field(component, COLUMNS)]
            first = mcu_column * h
            # Blocks past the edge only pad the MCU.
            count = min(run * h, columns - first)
            for y in range(mcu_row * v, mcu_row * v + v):
                if y < job[_field(component, ROWS)]:
                    index = job[_field(component, OFFSET)] + (y * columns + first) * frequencies
                    target = target_region[0] + _u64(2 * index)
                    source = source_block
                    x = 0
                    for _ in range(count):
                        copy_block(source_region, source, target_region, target, frequencies)
                        target += _u64(2 * frequencies)
                        source += _BLOCK_BYTES
                        x += 1
                        if x == h:
                            x = 0
                            source += _BLOCK_BYTES * _u64(mcu_blocks - h)
                source_block += _BLOCK_BYTES * _u64(h)
        source_row += _BLOCK_BYTES * _u64(run * mcu_blocks)
        mcu += run
        mcus -= run


@inlined
def _limit(left, mcu_blocks):  # noqa: ANN001, ANN202
    """Return the block from which on no group must begin, since it could run past the interval."""
    return min(BUFFER_BLOCKS, left * mcu_blocks - GROUP + 1)


@njit(cache=True, nogil=True)
def decode_scans(
    data: np.ndarray,
    jobs: np.ndarray,
    frequencies: int,
    out: np.ndarray,
    statuses: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Decode scans of sequential frames.

    Args:
        data: uint8 [bytes], contiguous; the files.
        jobs: int64 [scans, JOB_FIELDS], a row for each scan; the columns are named at the top of
            this module. Each component has at least one block, each scan one MCU and an interval
            of at least 1.
        frequencies: how many coefficients of a block to keep.
        out: int16, contiguous; filled at the components' offsets.
        statuses: int64 [scans], filled: OK or DECLINED; what a declined scan left in out is to be
            ignored.
        ends: int64 [scans], filled: where in data the marker after the scan stands.
    """
    workspace = make_workspace(jobs)
    number = 0
    while True:
        number, one, other = decode_on(
            data, jobs, number, frequencies, out, out, statuses, ends, workspace
        )
        if one < 0 and other < 0:
            return


@njit(cache=True, nogil=True)
def make_workspace(jobs):  # noqa: ANN001, ANN201
    """Return the memory that decode_on() needs for these jobs; their scans are yet to begin."""
    longest = 0
    most_intervals = 0
    for number in range(jobs.shape[0]):
        longest = max(longest, jobs[number, END] - jobs[number, START])
        most_intervals = max(most_intervals, jobs[number, INTERVALS])
    size = longest + max(UNSTUFF_PADDING, _PADDING_BYTES)
    return _make_lane(size, most_intervals), _make_lane(size, most_intervals)


@njit(cache=True, nogil=True)
def _make_lane(size, most_intervals):  # noqa: ANN001, ANN202
    """Return state, predictions, stream, starts, sequence, buffer of one of two scans."""
    state = np.empty(_STATE_FIELDS, np.int64)
    state[_JOB] = -1
    return (
        state,
        np.zeros(MAX_COMPONENTS, np.int64),
        np.zeros(size, np.uint8),
        np.empty(most_intervals + 1, np.int64),
        np.empty(2 * (_CAPACITY + 1), np.uint64),
        np.empty(64 * _CAPACITY, np.int16),
    )


@njit(cache=True, nogil=True)
def decode_on(data, jobs, number, frequencies, out, out2, statuses, ends, workspace):  # noqa: ANN001, ANN201
    """Decode until a scan ends, which may be both at once.

    Args:
        data, jobs, frequencies, statuses, ends: as of decode_scans().
        number: of the first job that has not begun.
        out, out2: as out of decode_scans(): what the first and the second of two scans fill that
            are decoded in turns. A scan that ended makes room for the next one at the next call.
        workspace: what make_workspace() gave for these jobs, and the calls before left in it.

    Returns:
        The number again, and of each of the two the job that ended, or -1. Once both are -1, there
        is none left. Of a job that is declined before it begins, only its status tells.
    """
    lane, lane2 = workspace
    state, predictions, stream, starts, sequence, buffer = lane
    state2, predictions2, stream2, starts2, sequence2, buffer2 = lane2
    ended = ended2 = -1
    while ended < 0 and ended2 < 0:
        while state[_JOB] < 0 and number < jobs.shape[0]:
            statuses[number] = DECLINED
            _start(data, jobs, ends, number, state, stream, starts, sequence, buffer, predictions)
            number += 1
        while state2[_JOB] < 0 and number < jobs.shape[0]:
            statuses[number] = DECLINED
            _start(
                data, jobs, ends, number, state2, stream2, starts2, sequence2, buffer2, predictions2
            )
            number += 1
        if state[_JOB] < 0 and state2[_JOB] < 0:
            break
        both = False
        if state[_JOB] >= 0 and state2[_JOB] >= 0:
            job, job2 = jobs[state[_JOB]], jobs[state2[_JOB]]
            limit = _limit(state[_LEFT], _count_blocks(job))
            limit2 = _limit(state2[_LEFT], _count_blocks(job2))
            both = state[_BLOCK] < limit and state2[_BLOCK] < limit2
        if both:
            position, k, block, position2, k2, block2 = _run_two(
                region(stream),
                _table_region(job),
                region(sequence),
                region(buffer),
                _u64(state[_POSITION]),
                _u64(state[_INTERVAL_END]),
                _u64(state[_K]),
                _SEQUENCE_BYTES * _u64(state[_BLOCK]),
                _SEQUENCE_BYTES * _u64(limit),
                region(stream2),
                _table_region(job2),
                region(sequence2),
                region(buffer2),
                _u64(state2[_POSITION]),
                _u64(state2[_INTERVAL_END]),
                _u64(state2[_K]),
                _SEQUENCE_BYTES * _u64(state2[_BLOCK]),
                _SEQUENCE_BYTES * _u64(limit2),
            )
            _keep(state, position, k, block)
            _keep(state2, position2, k2, block2)
        else:
            # Whichever is at the end of an interval goes on alone until that is done.
            if state[_JOB] >= 0:
                _go_on(jobs[state[_JOB]], state, stream, sequence, buffer, state2[_JOB] < 0)
            if state2[_JOB] >= 0:
                _go_on(jobs[state2[_JOB]], state2, stream2, sequence2, buffer2, state[_JOB] < 0)
        if state[_JOB] >= 0:
            job = jobs[state[_JOB]]
            status = _advance(job, state, starts, buffer, predictions, frequencies, out)
            if status != GOING_ON:
                ended = state[_JOB]
                statuses[ended] = status
                state[_JOB] = -1
        if state2[_JOB] >= 0:
            job = jobs[state2[_JOB]]
            status = _advance(job, state2, starts2, buffer2, predictions2, frequencies, out2)
            if status != GOING_ON:
                ended2 = state2[_JOB]
                statuses[ended2] = status
                state2[_JOB] = -1
    return number, ended, ended2


@inlined
def _keep(state, position, k, block):  # noqa: ANN001, ANN202
    state[_POSITION] = np.int64(position)
    state[_K] = np.int64(k)
    state[_BLOCK] = np.int64(block // _SEQUENCE_BYTES)


@njit(cache=True, nogil=True)
def _go_on(job, state, stream, sequence, buffer, alone):  # noqa: ANN001, ANN202
    """Decode a scan by itself: to the end of the interval if that is near, else only if alone."""
    mcu_blocks = _count_blocks(job)
    limit = _limit(state[_LEFT], mcu_blocks)
    groups = state[_BLOCK] < limit
    if groups and not alone:
        return
    position, k = _u64(state[_POSITION]), _u64(state[_K])
    block, end = _SEQUENCE_BYTES * _u64(state[_BLOCK]), _u64(state[_INTERVAL_END])
    places = region(stream), _table_region(job), region(sequence), region(buffer)
    if groups:
        limit = _SEQUENCE_BYTES * _u64(limit)
        position, k, block = _run_one(*places, position, end, k, block, limit)
    else:
        limit = _SEQUENCE_BYTES * _u64(state[_LEFT] * mcu_blocks)
        position, k, block = _finish(*places, position, end, k, block, limit)
    _keep(state, position, k, block)


def warm_up() -> None:
    """Compile the kernels, or load them from Numba's cache, by decoding one block of zeros."""
    one_code = bytes([1] + [0] * 15)
    tables = build_pair_tables(
        HuffmanTable(DC_CLASS, one_code, b"\0"), HuffmanTable(AC_CLASS, one_code, b"\0")
    )
    component = [1, 1, 1, 1, 0, tables.address]
    job = [0, 1, 1, 1, 1, 1, 1, *component]
    jobs = np.array([job + [0] * (JOB_FIELDS - len(job))], np.int64)
    out = np.empty(64, np.int16)
    statuses = np.zeros(2, np.int64)
    decode_scans(np.frombuffer(b"\x3f", np.uint8), jobs, 64, out, statuses[:1], statuses[1:])
