"""c2fnas, nnU-Net, MONAI's SegResNet and others: the same cases, fold and metric, the same minutes of the same cores.

    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides c2fnas --seeds 3
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides nnunet --nnunet-python PYTHON
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides auto3dseg --templates CLONE
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides dynunet,segresnet,dints
    taskset -c 0 python benchmarks/peers.py DATASET --minutes 30 --sides c2fnas@c2fnas,c2fnas@nnunet,dynunet@nnunet

Sides are

- `c2fnas`: `c2fnas run` with a budget of so many minutes, everything included, as a user calls it;
- `nnunet`: nnU-Net v2 by its own plan and recipe, its schedule ended by the clock (`nnunet_budget.py`);
- `auto3dseg`: MONAI's SegResNet by the template of its Auto3DSeg, from a clone of Project-MONAI/research-contributions,
  its schedule ended by the clock (`auto3dseg_budget.py`);
- `auto3dseg-dints`: DiNTS by the scripts of the same templates, on a GPU, by its own schedule and in its own time;
- `dynunet`, `segresnet`, `dints`: MONAI's networks, as wide as they come, in c2fnas's loop with c2fnas's plan; DynUNet
  has the levels that nnU-Net would plan for it;
- `c2fnas@c2fnas`: the network and the plan of `c2fnas`, trained alone, without the search;
- `c2fnas@nnunet`, `dynunet@nnunet`: the network of `c2fnas`, and nnU-Net's, in c2fnas's loop with nnU-Net's spacing and
  patch: with the sides above they tell what of a difference is plan, network or recipe.

The last three kinds need the side that they take plan or network from to be done first. A budget of c2fnas pays for its
preparation and for the prediction of the validation cases; for the peers neither counts. Everybody's validation cases
are predicted in their original grid and scored by the same code. Cores are those that the process may use (`taskset`).
c2fnas computes in fp32 on a CPU, as the peers do there, and in its own choice of precision on a GPU; `--precision`
says otherwise.

The folds are made once for every side, whatever a training's seed: in the order of the cases, or drawn with
`--draw-folds`. A fold with fewer than eight cases, or groups of `--group-by`, gives no answer: `--fold-count` makes
fewer and larger ones.

Each training is a file in `benchmarks/results/peers_NAME`, which a later call leaves as it is; `--remake` makes it
again. A call whose conditions are not those of the trainings there is refused, and so is one with code that is not
committed. The table of all goes to `benchmarks/results/peers_NAME.md`. Everything else lies in `--work`, by default
`peers-work` in the current folder, the logs among it. `--try-out` puts the results there, too, to try it with a minute
or two.
"""

import sys

from peers_command import parsed
from peers_study import Study


def main() -> None:
    """Train what is asked for and not there yet, and write the table of all."""
    study = Study(parsed(__doc__))
    study.refuse_unready()
    for side, seed in study.missing():
        print(f"{side}, seed {seed} ...", file=sys.stderr, flush=True)
        study.train(side, seed)
    print(study.report())


if __name__ == "__main__":
    main()
