"""The words about branches: making them, bringing them together, and deciding what did not come together by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from palimpsest.client.asking import ask, ask_patiently
from palimpsest.client.merging import (
    Branch,
    MergeResult,
    PendingMerge,
    to_branch,
    to_pending,
)
from palimpsest.client.places import Which, to_place
from palimpsest.client.requests import check, check_numbers, check_texts, make_meta
from palimpsest.client.resolving import Resolutions, make_resolutions
from palimpsest.client.session import Session
from palimpsest.errors import InvalidRequest, UnexpectedMessage
from palimpsest.protocol import messages as m
from palimpsest.words import MAIN


class Branching:
    """A part of `Client`, which says what holds for all of its words.

    A version is said as in `diff`: `"branch"` for its newest, `"branch:version"`, a number or a time on `main`. A merge
    may take long: it is waited for as long as the server is there, and RequestTimeout comes once nothing has been heard
    of it for timeout_seconds.
    """

    _session: Session

    # --- branches ------------------------------------------------------------------------------------------------

    async def branch(
        self,
        document: str,
        name: str,
        *,
        at: Which | None = None,
        by: str | None = None,
        description: str | None = None,
        request_id: str | None = None,
    ) -> Branch:
        """A branch of the document that starts from the version at `at`, and goes on with the next number; None: the
        newest of `main`. Nothing is copied.

        document: a pattern, too. Then each document that matches gets the branch when it is first written there, from
        the newest version that it has then, so that `at` may only name a branch; until then it reads as it is on that
        one.

        Raises BranchExists, DocumentNotFound, BranchNotFound, VersionNotFound, VersionPruned, or InvalidName.
        """
        check(document, MAIN, request_id)
        _check_given(name=name)
        meta = make_meta(by, description, ())
        message = m.Branch(0, document, name, _place(at), False, meta, request_id)
        answer = await ask(self._session, m.Branches, message)
        if not answer.branches:
            raise UnexpectedMessage("the server made a branch and does not say which", kind="Branches")
        return to_branch(answer.branches[0])

    async def delete_branch(
        self,
        document: str,
        name: str,
        *,
        by: str | None = None,
        description: str | None = None,
        request_id: str | None = None,
    ) -> list[Branch]:
        """The branch is not there any more; its versions stay, and can be read by their numbers. document: a pattern,
        too: of all that match, and of those that would get it later. What comes back is what was deleted.

        Raises DocumentNotFound, BranchNotFound, or InvalidRequest for `main`.
        """
        check(document, MAIN, request_id)
        _check_given(name=name)
        meta = make_meta(by, description, ())
        message = m.DeleteBranch(0, document, name, False, meta, request_id)
        return [to_branch(info) for info in (await ask(self._session, m.Branches, message)).branches]

    async def branches(self, document: str = "**", *, deleted: bool = False) -> list[Branch]:
        """The branches of the document, `main` among them; or, of a pattern, those of all documents that match and have
        others than `main`, by name, and those that were made for a pattern. deleted: the deleted ones, too.

        Raises DocumentNotFound where one document is asked about that never existed, or InvalidName.
        """
        check(document, MAIN)
        found: list[Branch] = []
        more, after = True, ""
        while more:
            message = m.ListBranches(0, document, after, self._session.settings.page_items, bool(deleted))
            answer = await ask(self._session, m.Branches, message)
            found += map(to_branch, answer.branches)
            more = answer.more
            after = _further(after, answer.branches[-1].document if answer.branches else after, more)
        return found

    # --- merges --------------------------------------------------------------------------------------------------

    async def merge(
        self,
        document: str,
        source: Which,
        into: str = MAIN,
        *,
        rules: Mapping[str, str] | None = None,
        dry_run: bool = False,
        squash: bool = False,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> MergeResult:
        """What happened on the branch of `source`, up to there, and not on `into`, happens on `into`, too: a three-way
        merge against the nearest common ancestor. It makes a version that has `source` for its second parent.

        document: a pattern, too: all documents that match and have the source branch are merged, or none. rules: by
        path, where `*` stands for every key and every index, what becomes of a conflict: `fail` (which is what happens
        without a rule), `ours`, `theirs`, `base`, `sum`, `max`, `min`, `union`, `key:<field>`, `diff3`, `atomic`, or
        the name of a resolver of the server. dry_run: it is only said what would come of it. squash: the version has
        one parent, and a later merge does not know of this one. expect: the version that `into` must have, of one
        document.

        Where conflicts are left, nothing has happened; the result has them and a `merge_id`, by which they are
        resolved:

            result = await client.merge("notes/1", source="draft")
            if result.conflicts:
                await client.resolve(result.merge_id, {"title": pal.OURS, "body": pal.Value("...")})

        Raises DocumentNotFound, BranchNotFound, VersionNotFound, VersionPruned, VersionConflict, or InvalidRequest for
        a rule that is none.
        """
        check(document, into, request_id)
        _check_given(into=into)
        check_numbers(expect=expect)
        message = m.Merge(
            0,
            document,
            to_place(source, MAIN),
            into,
            _make_rules(rules),
            bool(dry_run),
            bool(squash),
            expect,
            False,
            make_meta(by, description, tags),
            request_id,
        )
        return MergeResult(await self._ask_for_merge(message))

    async def cherry_pick(
        self,
        document: str,
        version: Which,
        into: str = MAIN,
        *,
        rules: Mapping[str, str] | None = None,
        dry_run: bool = False,
        expect: int | None = None,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> MergeResult:
        """What one version did is done on `into`, too. Where by, description and tags are not given, they are those of
        that version. rules, dry_run and expect, conflicts, and what is raised: as in `merge`."""
        check(document, into, request_id)
        _check_given(into=into)
        check_numbers(expect=expect)
        message = m.Pick(
            0,
            document,
            to_place(version, MAIN),
            into,
            _make_rules(rules),
            bool(dry_run),
            expect,
            False,
            make_meta(by, description, tags),
            request_id,
        )
        return MergeResult(await self._ask_for_merge(message))

    async def rebase(
        self,
        document: str,
        branch: str,
        *,
        onto: Which | None = None,
        rules: Mapping[str, str] | None = None,
        dry_run: bool = False,
        by: str | None = None,
        description: str | None = None,
        request_id: str | None = None,
    ) -> MergeResult:
        """The branch starts from the version at `onto` from now on; None: the newest of the branch that it was made
        from. Its own versions are made again there, each now, under its author, reason and tags; the old ones stay, as
        those of a deleted branch do. The result has a part for each. rules, dry_run, conflicts, and what is raised: as
        in `merge`."""
        check(document, branch, request_id)
        _check_given(branch=branch)
        message = m.Rebase(
            0,
            document,
            branch,
            None if onto is None else to_place(onto, MAIN),
            _make_rules(rules),
            bool(dry_run),
            False,
            make_meta(by, description, ()),
            request_id,
        )
        return MergeResult(await self._ask_for_merge(message))

    # --- conflicts -----------------------------------------------------------------------------------------------

    async def resolve(
        self,
        merge_id: str,
        resolutions: Resolutions,
        *,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> MergeResult:
        """Decides conflicts of a pending merge, all or some; once none is left, the merge is committed. Where a branch
        has gone on meanwhile, it is brought up to date first: resolutions that still apply are kept, and the result has
        what is open then.

        resolutions: by path as it is written, which is every document's, or by (document, path): OURS, THEIRS, BASE,
        Value(...), or DELETE, for nothing to be there. by, description, tags: in place of what was said when the merge
        was begun.

        Raises MergeNotFound, InvalidPath, InvalidValue, or InvalidRequest where nothing is to be decided at a path.
        """
        _check_given(merge_id=merge_id)
        check_texts(request_id=request_id)
        meta = make_meta(by, description, tags)
        message = m.Resolve(0, merge_id, make_resolutions(resolutions), False, meta, request_id)
        return MergeResult(await self._ask_for_merge(message))

    async def abandon(
        self,
        merge_id: str,
        *,
        by: str | None = None,
        description: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """The pending merge is given up; nothing of it has happened. Raises MergeNotFound."""
        _check_given(merge_id=merge_id)
        check_texts(request_id=request_id)
        meta = make_meta(by, description, ())
        await ask(self._session, m.Committed, m.Abandon(0, merge_id, False, meta, request_id))

    async def merge_state(self, merge_id: str) -> MergeResult:
        """A pending merge as of the newest versions, with the conflicts that are open. Raises MergeNotFound."""
        _check_given(merge_id=merge_id)
        return MergeResult(await self._ask_for_merge(m.GetMerge(0, merge_id)))

    async def merges(self, documents: str = "**") -> list[PendingMerge]:
        """The merges that are pending and concern a document that matches, by id. Raises InvalidName."""
        check(documents, MAIN)
        found: list[PendingMerge] = []
        more, after = True, ""
        while more:
            message = m.ListMerges(0, documents, after, self._session.settings.page_items)
            answer = await ask(self._session, m.Merges, message)
            found += map(to_pending, answer.merges)
            more = answer.more
            after = _further(after, answer.merges[-1].merge if answer.merges else after, more)
        return found

    async def _ask_for_merge(self, message: m.Message) -> m.Merged:
        return await ask_patiently(self._session, m.Merged, message)


def _place(at: Which | None) -> m.Place:
    return m.Place() if at is None else to_place(at, MAIN)


def _make_rules(rules: Mapping[str, str] | None) -> dict[str, str]:
    """Only that they are text: the server knows which there are. Raises InvalidRequest."""
    if rules is None:
        return {}
    if not isinstance(rules, Mapping):
        raise InvalidRequest(f"rules are a mapping, not a {type(rules).__name__}", reason="rules")
    for path, rule in rules.items():
        if not isinstance(path, str) or not isinstance(rule, str):
            raise InvalidRequest(f"a rule is text, by a path as text; {path!r}: {rule!r} is none", reason="rules")
    return dict(rules)


def _check_given(**texts: str) -> None:
    check_texts(**texts)
    for name, text in texts.items():
        if text is None:
            raise InvalidRequest(f"{name} has to be given: None is none", reason=name)


def _further(after: str, last: str, more: bool) -> str:
    """Where the next page begins. Raises UnexpectedMessage where it would be the same page for ever."""
    if more and last == after:
        raise UnexpectedMessage(
            f"the server says that more comes after {after!r}, and gives nothing of it", kind="page"
        )
    return last
