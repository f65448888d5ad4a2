"""Two outside views of the search, for bench-search.sh.

bayesect FIRSTBAD DAG BAD GOOD SEEDS: git_bayesect on a line, for the commits of `simulate` with the
same seeds; prints its share of right answers at 0.99, its mean number of runs, and how many jobs it
had not ended after LIMIT runs: these count in neither. With the first commit at fault no revision is
good, and it goes on for ever.
check FIRSTBAD DAG BAD GOOD JOBS: owns commit and answers, talks to `engine`, and recomputes the
posterior and every gain from the definitions; prints the largest error of the confidence, the least
share of the best gain that a choice had, and the number of jobs.
"""

import json
import subprocess
import sys

import numpy as np
from git_bayesect import Bisector

LIMIT = 2000
BARE = "--none-prior 0 --dispersion off --verify off --confidence 0.99".split()


def bayesect(firstbad, dag, bad, good, seeds):
    command = [firstbad, "simulate", "--dag", dag, "--p-bad", bad, "--p-good", good, *BARE]
    out = subprocess.run([*command, "--json", "--seed", "1", "--repeat", seeds], check=True, capture_output=True)
    names = [line.split()[0] for line in open(dag)]
    index = {name: i for i, name in enumerate(names)}
    right = runs = endless = 0
    for row in json.loads(out.stdout)["runs"]:
        culprit = len(names) - 1 - index[row["truth"][0]]
        dice = np.random.default_rng(row["seed"])
        search = Bisector([1.0] * len(names))
        asked = 0
        while search.distribution.max() < 0.99 and asked < LIMIT:
            at = search.select()
            search.record(at, bool(dice.random() < float(bad if at <= culprit else good)))
            asked += 1
        if asked == LIMIT:
            endless += 1
            continue
        runs += asked
        right += int(search.distribution.argmax() == culprit)
    ended = int(seeds) - endless
    print(right / ended, runs / ended, endless)


def entropy(p):
    p = np.clip(p, 1e-300, 1 - 1e-16)
    return -p * np.log2(p) - (1 - p) * np.log2(1 - p)


def check(firstbad, dag, bad, good, jobs):
    rows = [line.split() for line in open(dag)]
    index = {row[0]: i for i, row in enumerate(rows)}
    below = np.zeros((len(rows), len(rows)), dtype=bool)
    for i, row in enumerate(rows):
        below[i, i] = True
        for parent in row[1:]:
            below[i] |= below[index[parent]]
    below_f = below.astype(np.float64)
    p_bad, p_good = float(bad), float(good)
    error, least = 0.0, 1.0
    for job in range(int(jobs)):
        dice = np.random.default_rng(job)
        culprit = dice.integers(len(rows))
        command = [firstbad, "engine", "--dag", dag, "--p-bad", bad, "--p-good", good, *BARE]
        engine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        log = np.zeros(len(rows))
        for line in engine.stdout:
            said = json.loads(line)
            post = np.exp(log - log.max())
            post /= post.sum()
            if said["op"] == "done":
                error = max(error, abs(said["confidence"] - post[index[said["culprit"]]]))
                break
            w = below_f @ post
            gain = entropy(w * p_bad + (1 - w) * p_good) - w * entropy(p_bad) - (1 - w) * entropy(p_good)
            at = index[said["rev"]]
            least = min(least, gain[at] / gain.max())
            failed = bool(dice.random() < (p_bad if below[at, culprit] else p_good))
            inside, outside = (p_bad, p_good) if failed else (1 - p_bad, 1 - p_good)
            log += np.where(below[at], np.log(inside), np.log(outside))
            answer = {"op": "result", "id": said["id"], "outcome": "fail" if failed else "pass"}
            engine.stdin.write(json.dumps(answer) + "\n")
            engine.stdin.flush()
        engine.stdin.close()
        engine.wait()
    print(error, least, jobs)


if __name__ == "__main__":
    {"bayesect": bayesect, "check": check}[sys.argv[1]](*sys.argv[2:])
