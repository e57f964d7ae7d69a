"""The trainings of a data set for `peers.py`: those that are kept, and those that are asked for."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from auto3dseg_side import CLONE, Auto3dseg, Dints
from c2fnas.data.folds import FoldChoice, Split, chosen_groups, make_folds
from c2fnas.data.layouts import load_dataset
from c2fnas.evaluation.comparison import LEAST_GROUPS
from c2fnas.evaluation.label_files import evaluate_files, pair_files
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.files import read_json, write_json, write_text
from nnunet_side import Nnunet, install
from peers_command import command
from peers_conditions import ROOT, VARIABLES, Conditions, refuse_changed, refuse_unlike, usable_cores
from peers_ours import Ours, planned_dynunet
from peers_report import read, table
from peers_sides import BY_AUTO3DSEG, needed_by
from preprocessing import machine
from sliding_window import commit

RESULTS = ROOT / "benchmarks" / "results"
Trained = tuple[Evaluation, dict[str, Any]]


class Study:
    """The trainings of a data set.

    Args:
        arguments: the options of the command line.

    Attributes:
        work: the folder of these trainings alone: those of another length, fold or device have another one.
        kept: the folder of finished trainings, a file each.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.dataset = arguments, arguments.dataset.resolve()
        self.name = arguments.name or self.dataset.name.lower()
        self.work = arguments.work.resolve() / ("try" if arguments.try_out else "real") / self._folder_name()
        results = self.work / "results" if arguments.try_out else RESULTS
        self.kept = results / f"peers_{self.name}"
        self.loaded = load_dataset(self.dataset)
        self.splits = self._divided()
        self.conditions = self._conditions()
        self.sides = tuple(filter(None, arguments.sides.split(",")))
        if self.sides:
            refuse_unlike(read(self.kept), self.conditions, self.kept)

    def refuse_unready(self) -> None:
        """Stop before any training where one could not be made, or could not be named; warn of too few groups."""
        asked = [*dict.fromkeys(side for side, _ in self.missing())]
        if asked and not self.arguments.try_out:
            refuse_changed()
        for number, side in enumerate(asked):
            for needed in sorted(needed_by(side) - {*asked[:number]}):
                self.facts_of(needed)
            if side in BY_AUTO3DSEG:
                self._by_auto3dseg(side, self.work).refuse_unready()
        if asked:
            self._warn_of_few()

    def missing(self) -> Iterator[tuple[str, int]]:
        """Yield sides and seeds that are asked for and not kept."""
        for side in self.sides:
            for seed in range(self.arguments.seeds):
                if self.arguments.remake or not self.place(side, seed).exists():
                    yield side, seed

    def place(self, side: str, seed: int) -> Path:
        """Return the file of a training."""
        return self.kept / f"{side.replace('@', '-with-plan-of-')}-{seed}.json"

    def train(self, side: str, seed: int) -> None:
        """Train and score one, and keep what is known of it."""
        about: dict[str, Any] = {
            "side": side,
            "seed": seed,
            "asked": self.conditions.of(side),
            "command": command(self.arguments, side),
            "machine": "; ".join([machine(), *self._card()]),
        }
        began = commit()
        trained: Callable[[str, int, Path], Trained] = {
            "nnunet": self._nnunet,
            **dict.fromkeys(BY_AUTO3DSEG, self._auto3dseg),
        }.get(side, self._ours)
        evaluation, facts = trained(side, seed, self.begin(side, seed))
        about |= {"commit": {"began": began, "ended": commit()}, "facts": facts, "evaluation": evaluation.to_json()}
        write_json(self.place(side, seed), about)

    def begin(self, side: str, seed: int) -> Path:
        """Return the work folder of a training, without what was left there by one under other conditions.

        With `--remake` nothing is left there.
        """
        folder, now = self.work / f"{side}-{seed}", self.conditions.of(side)
        now |= {"dataset": str(self.dataset), "commit": commit()}
        record = folder / "begun.json"
        if self.arguments.remake or not record.exists() or read_json(record) != now:
            shutil.rmtree(folder, ignore_errors=True)
            write_json(record, now)
        return folder

    def facts_of(self, side: str) -> dict[str, Any]:
        """Return what is known of a side's first training, such as spacing and patch."""
        place = self.place(side, 0)
        if not place.exists():
            sys.exit(f"{place}: the plan is taken from there. Train that side first: --sides {side}.")
        facts: dict[str, Any] = read_json(place)["facts"]
        return facts

    def design(self, network: str, plan: dict[str, Any]) -> str | dict[str, Any]:
        """Return a network as `c2fnas train` takes it: what c2fnas has found, nnU-Net's for a plan, or a name."""
        if network == "c2fnas":
            found: dict[str, Any] = self.facts_of("c2fnas")["network"]
            return found
        return planned_dynunet(plan) if network == "dynunet" else network

    def scored(self, predictions: Path) -> Evaluation:
        """Score label files by our metric, of exactly the fold's cases."""
        pairs, _ = pair_files(predictions, self.dataset / "labelsTr")
        expected = {*self.splits[self.arguments.fold].validation}
        if {pair.case for pair in pairs} != expected:
            sys.exit(f"{predictions}: expected the {len(expected)} cases of the fold, found {len(pairs)}.")
        return evaluate_files(pairs, self.loaded.scheme)

    def report(self) -> str:
        """Write the table of what is kept, and return it; of nothing there is none."""
        kept = read(self.kept)
        if not kept:
            return "No training is kept yet."
        if self.sides:
            refuse_unlike(kept, self.conditions, self.kept)  # again: another call may have trained meanwhile
        text = table(kept)
        write_text(self.kept.with_name(f"{self.kept.name}.md"), text)
        return text

    @property
    def folds_file(self) -> Path:
        """The file of the folds that every side is given, as nnU-Net writes it."""
        return self.work / "splits_final.json"

    @property
    def rows(self) -> list[dict[str, list[str]]]:
        """The folds as that file has them."""
        return [{"train": list(each.training), "val": list(each.validation)} for each in self.splits]

    def _folder_name(self) -> str:
        given = self.arguments
        drawn = "-drawn" if given.draw_folds else ""
        return f"{self.name}-{given.minutes:g}m-fold{given.fold}-of-{given.fold_count}{drawn}-{given.device}"

    def _divided(self) -> tuple[Split, ...]:
        """The folds, made once for all sides: they do not depend on a training's seed."""
        given = self.arguments
        by = "random" if given.draw_folds else "sequential"
        splits = make_folds(self.loaded, FoldChoice(by, given.fold_count, given.group_by), seed=0)
        if not 0 <= given.fold < len(splits):
            sys.exit(f"--fold {given.fold}: there are {len(splits)} folds, from 0.")
        return splits

    def _conditions(self) -> Conditions:
        given = self.arguments
        aten, onednn = (os.environ.get(name) or None for name in VARIABLES)
        shared = (self.loaded.name, given.minutes, given.fold, given.fold_count, given.draw_folds, given.group_by)
        return Conditions(*shared, given.device, usable_cores(), aten, onednn, given.precision)

    def _card(self) -> list[str]:
        """The GPU that is computed on, if any."""
        if self.arguments.device == "cpu":
            return []
        import torch

        return [str(torch.cuda.get_device_name())]

    def _warn_of_few(self) -> None:
        cases = self.splits[self.arguments.fold].validation
        groups = chosen_groups(self.loaded, FoldChoice(group_by=self.arguments.group_by))
        if (count := len({groups.get(case, case) for case in cases})) < LEAST_GROUPS:
            few = f"Fold {self.arguments.fold} validates {count} cases or groups, and answers need {LEAST_GROUPS}"
            print(f"{few}: ask for fewer folds, such as --fold-count 2.", file=sys.stderr)

    def _ours(self, side: str, seed: int, folder: Path) -> Trained:
        """`c2fnas run`, or `c2fnas train` with a network and a plan."""
        given = self.arguments
        write_json(self.folds_file, self.rows)
        options = (given.minutes, given.fold, given.device, self.folds_file, given.group_by, given.precision)
        loop = Ours(self.dataset, folder, *options)
        if side == "c2fnas":
            return loop.run(seed, self.splits)
        network, _, planner = side.partition("@")
        plan = self.facts_of(planner or "c2fnas")
        return loop.train(self.design(network, plan), plan, seed, self.splits)

    def _nnunet(self, side: str, seed: int, folder: Path) -> Trained:
        """nnU-Net, which draws its seed from the system."""
        python = self.arguments.nnunet_python or install(self.arguments.work.resolve() / "environment")
        peer = Nnunet(python, folder, self.arguments.device, usable_cores())
        prepared = peer.prepare(self.dataset, self.rows)
        predictions, facts = peer.train(self.arguments.fold, 60 * self.arguments.minutes)
        return self.scored(predictions), {**peer.facts(prepared), **facts}

    def _auto3dseg(self, side: str, seed: int, folder: Path) -> Trained:
        """SegResNet or DiNTS by MONAI's template."""
        peer = self._by_auto3dseg(side, folder / "bundles")
        peer.prepare(self.dataset, self.splits, self.arguments.fold)
        predictions, facts = peer.train(self.arguments.fold, 60 * self.arguments.minutes, seed)
        return self.scored(predictions), facts

    def _by_auto3dseg(self, side: str, folder: Path) -> Auto3dseg:
        if self.arguments.templates is None:
            sys.exit(f"--templates: expected a clone of {CLONE}.")
        kind = Dints if side == "auto3dseg-dints" else Auto3dseg
        return kind(self.arguments.templates, folder, self.arguments.device)
