"""Reckoning: which histories should make the live schema, found without running anything. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import heappop, heappush

from runbook_lib import suspects
from runbook_lib.catalog import table_of
from runbook_lib.foresight import Foresight, nearest
from runbook_lib.kinship import Kinship
from runbook_lib.nearness import Nearness

AWAY = 4  # revisions at most in which a history differs from the one that it is an alternative to,
RECKONED = 96  # and that many are reckoned to find it


class Reckoning:
    """Reckons what histories should make, at no cost."""

    def __init__(self, near: Nearness) -> None:
        self._near = near
        self._foresight = Foresight(near.case.replay)
        self._kin = Kinship(near.case.replay, near.live)
        runs = near.case.runs.items()
        self._texts = {name: suspects.hint(run) for name, run in runs if suspects.minds(run)}
        self._idle = {name for name, run in runs if suspects.idle(run)}
        self._order = {name: number for number, (name, _) in enumerate(runs)}
        self._known: dict[tuple[frozenset[str], bool], Mapping[str, int]] = {}

    def nearest(
        self, base: frozenset[str], suspected: frozenset[str], *, forgiving: bool
    ) -> tuple[frozenset[str], ...]:
        """Return histories near ``base``, in which only ``suspected`` ones differ, best first."""
        return nearest(
            base,
            self._foresight.affordable,
            lambda chosen: self.wrong(chosen, forgiving=forgiving, hopeful=not forgiving),
            lambda keys: suspected & self._behind(keys),
        )

    def exact(self, chosen: frozenset[str]) -> bool:
        """Whether it should make exactly the live schema, without anything having stopped."""
        return not self.wrong(chosen, forgiving=False, hopeful=True)

    def making(self, base: frozenset[str]) -> list[frozenset[str]]:
        """Return histories that may make exactly the live schema, whoever has to differ for it."""
        return self._solved(base, [base], forgiving=False, hopeful=True)

    def others(
        self, chosen: frozenset[str], told: Collection[str], *, hopeful: bool = True
    ) -> list[frozenset[str]]:
        """Return histories that may make the same as ``chosen``, and differ in one of ``told``.

        Unless ``hopeful``, only those that should whatever the ones do that asked.
        """
        starts = [chosen ^ {name} for name in sorted(told)]
        return self._solved(chosen, starts, forgiving=True, hopeful=hopeful)

    def _solved(
        self,
        base: frozenset[str],
        starts: Iterable[frozenset[str]],
        *,
        forgiving: bool,
        hopeful: bool,
    ) -> list[frozenset[str]]:
        """Put right one wrong object after the other, by whoever may be behind it.

        What may come out right is given, the likeliest first.
        """
        known: dict[frozenset[str], tuple[frozenset[str], frozenset[str]]] = {}
        todo: list[tuple[int, int, int, frozenset[str]]] = []
        most = min(RECKONED, self._foresight.affordable)

        def reckon(histories: Iterable[frozenset[str]]) -> None:
            for one in histories:
                if one not in known and len(known) < most:
                    sure = hoped = self.wrong(one, forgiving=forgiving)
                    if sure and hopeful:
                        hoped = self.wrong(one, forgiving=forgiving, hopeful=True)
                    known[one] = sure, hoped
                    heappush(todo, (len(hoped or sure), len(one ^ base), len(known), one))

        reckon(starts)
        while todo:
            *_, chosen = heappop(todo)
            sure, hoped = known[chosen]
            if sure and len(chosen ^ base) < AWAY:
                behind = min((self._behind({key}) for key in sorted(hoped or sure)), key=len)
                reckon(chosen ^ {name} for name in sorted(behind - (chosen ^ base)))
        found = [one for one, (_, hoped) in known.items() if not hoped and one != base]
        return sorted(found, key=lambda one: (len(known[one][0]), len(one ^ base)))

    def wrong(
        self, chosen: frozenset[str], *, forgiving: bool, hopeful: bool = False
    ) -> frozenset[str]:
        """Return what should be other than it is, but for what nobody can foresee.

        One that was idle found its work done in the replay. One that asked may do something else;
        to be ``hopeful`` about it is worth it where nothing is forgiven. What a revision lacks,
        only itself or one before it may have made.
        """
        asked = self._texts.keys() if hopeful else self._idle
        told = [(self._order[name], self._texts[name]) for name in chosen & asked]
        return frozenset(
            key
            for key, when in self._apart(chosen, forgiving=forgiving).items()
            if not any(
                self._named(key, text) or (hopeful and not text)
                for ran, text in told
                if ran <= when
            )
        )

    def _apart(self, chosen: frozenset[str], *, forgiving: bool) -> Mapping[str, int]:
        """Return what should be other than it is, and until when somebody may have made it so."""
        if (chosen, forgiving) not in self._known:
            foreseen = self._foresight.of(chosen)
            apart = self._near.apart(foreseen.made, chosen if forgiving else None)
            self._known[chosen, forgiving] = {
                **{change.object: len(self._order) for change in apart},
                **{key: self._order[name] for key, name in foreseen.odd.items()},
            }
        return self._known[chosen, forgiving]

    def _behind(self, keys: Collection[str]) -> frozenset[str]:
        idle = {
            name
            for name in self._idle
            for text in (self._texts[name],)
            if not text or any(self._named(key, text) for key in keys)
        }
        return self._kin.writers(keys) | idle

    def _named(self, key: str, text: str) -> bool:
        return suspects.named(key, table_of(key, self._near.live.objects.get(key)), text)
