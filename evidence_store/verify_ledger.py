"""Checking the ledger: its tree is built anew from its lines and held against everything that was signed."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from evidence_store import ledger, merkle
from evidence_store.database import Connection, Database
from evidence_store.ledger import HeadForged
from evidence_store.model import Entry
from evidence_store.plural import counted
from evidence_store.sealing.notes import LedgerKey
from evidence_store.sealing.signing import NotGenuine

PAGE = 1000
Progress = Callable[[str, int, int], None]
"""Told what is being looked at, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Line:
    """One row as it stands in the database; nothing in it is believed yet."""

    sequence: int
    object: str
    leaf: str


@dataclass(frozen=True)
class Witness:
    """A checkpoint that was kept somewhere; `where` says so in words, such as "in the folder /mnt/force"."""

    where: str
    note: str


class TreeCheck:
    """Takes the ledger's lines in order, builds their tree and says what does not fit."""

    def __init__(self, key: LedgerKey) -> None:
        self._key = key
        self._tree = merkle.Tree()
        self._agreed = 0
        self._roots: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """How many lines were taken."""
        return self._tree.size

    def root(self) -> bytes:
        """The root of the lines taken."""
        return self._tree.root()

    def take(self, lines: Sequence[Line], nodes: Sequence[bytes | None], notes: Sequence[Witness]) -> Iterator[str]:
        """Yield faults of the next lines, of the nodes that they complete, and of checkpoints of sizes among them."""
        wanted = {size for _, size, _ in self._opened(notes)}
        stored = iter(nodes)
        for line in lines:
            yield from self._check_line(line)
            made = self._tree.append(ledger.leaf_hash(line.leaf))
            kept = [next(stored, None) for _ in made]
            if kept[0] != made[0]:
                yield f"Line {line.sequence} of the ledger is not the one that was written."
            elif kept != made:
                yield f"The ledger's tree at line {line.sequence} does not follow from its lines."
            if self.size in wanted:
                self._roots[self.size] = self._tree.root()
        yield from self._hold_against(notes)

    def _check_line(self, line: Line) -> Iterator[str]:
        expected = self.size + 1
        if line.sequence != expected:
            yield f"Line {expected} of the ledger is missing; line {line.sequence} stands in its place."
        try:
            entry = ledger.parse_leaf(line.leaf)
        except ValueError:
            yield f"Line {line.sequence} of the ledger is no line that this store writes."
            return
        if entry.sequence != line.sequence:
            yield f"Line {line.sequence} of the ledger says that it is line {entry.sequence}: lines changed places."
        if entry.object != line.object:
            yield f"Line {line.sequence} of the ledger is filed under an object that it does not speak of."

    def _opened(self, notes: Iterable[Witness]) -> Iterator[tuple[Witness, int, bytes]]:
        for witness in notes:
            try:
                checkpoint = self._key.public.open(witness.note)
            except NotGenuine:
                continue
            yield witness, checkpoint.size, checkpoint.root

    def _hold_against(self, notes: Sequence[Witness]) -> Iterator[str]:
        good = list(self._opened(notes))
        genuine = {id(witness) for witness, _, _ in good}
        for witness in notes:
            if id(witness) not in genuine:
                yield f"A checkpoint {witness.where} was not signed by this ledger's key, or was changed."
        for witness, size, root in sorted(good, key=lambda found: found[1]):
            ours = self._roots.get(size, merkle.EMPTY_ROOT if size == 0 else None)
            if ours == root:
                self._agreed = max(self._agreed, size)
            elif size > self.size:
                yield (
                    f"A checkpoint {witness.where} shows that the ledger had {counted(size, 'line')}; it has "
                    f"{self.size:,}: its end was cut off, or the database was put back to an older copy."
                )
            else:
                yield (
                    f"The ledger is not the one of which a checkpoint at line {size} was kept {witness.where}: "
                    f"a line between {self._agreed + 1} and {size} was changed, dropped or moved."
                )


@dataclass
class Found:
    """What checking the ledger came to, page by page."""

    entries: list[Entry]
    faults: list[str]


async def check_ledger(
    database: Database, key: LedgerKey, witnesses: Sequence[Witness], progress: Progress
) -> AsyncIterator[Found]:
    """Yield the ledger's lines page by page with every fault found; the last page has the faults of the whole.

    Lines appended while this runs are left for the next time.
    """
    check = TreeCheck(key)
    async with database.read() as db:
        try:
            head = await ledger.read_head(db)
        except HeadForged:
            yield Found([], ["The ledger's head is gone: nothing says where the ledger ends."])
            return
    outside = _by_size(key, witnesses)
    while check.size < head.size:
        start, after = check.size, min(check.size + PAGE, head.size)
        async with database.read() as db:
            rows = await ledger.list_rows(db, after=start, limit=after - start)
            nodes = await ledger.list_nodes(db, merkle.count_nodes(start), merkle.count_nodes(start + len(rows)))
            kept = await ledger.list_checkpoints(db, after=start - (start == 0), limit=PAGE + 1)
        lines = [Line(row.sequence, row.object, row.leaf) for row in rows]
        if not lines:
            break
        among = [Witness("in the database", note) for size, note in kept.items() if size <= start + len(lines)]
        among += [witness for size, witness in outside if start < size <= start + len(lines)]
        faults = list(check.take(lines, nodes, among))
        yield Found(list(_entries(lines)), faults)
        progress("ledger lines", check.size, head.size)
    beyond = [witness for size, witness in outside if size > check.size or size < 1]
    faults = list(check.take([], [], beyond))
    async with database.read() as db:
        faults += await _check_end(db, key, head, check)
    yield Found([], faults)


def _by_size(key: LedgerKey, witnesses: Sequence[Witness]) -> list[tuple[int, Witness]]:
    found = []
    for witness in witnesses:
        try:
            found.append((key.public.open(witness.note).size, witness))
        except NotGenuine:
            found.append((-1, witness))
    return found


def _entries(lines: Sequence[Line]) -> Iterator[Entry]:
    for line in lines:
        try:
            yield ledger.parse_leaf(line.leaf)
        except ValueError:
            continue  # told already


async def _check_end(db: Connection, key: LedgerKey, head: ledger.Head, check: TreeCheck) -> list[str]:
    faults = []
    if check.size != head.size:
        faults.append(f"The ledger should end at line {head.size} and ends at line {check.size}.")
    try:
        _, checkpoint = ledger.open_head(key, head)
    except HeadForged:
        faults.append("The ledger's head was not written by a holder of the ledger key.")
    else:
        if checkpoint.size == check.size and checkpoint.root != check.root():
            faults.append("The ledger's lines do not lead to its signed head.")
    now = await ledger.read_head(db)
    if await ledger.measure(db) != (now.size, merkle.count_nodes(now.size), True):
        faults.append("Behind the ledger's head stand lines, nodes or checkpoints that were never signed.")
    return faults
