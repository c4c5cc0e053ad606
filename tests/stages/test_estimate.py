"""Estimates of a whole study: schedule, jobs, words, and what earlier runs correct."""

import json

import pytest

from cortseq import costs, stages, study
from cortseq.models.work import Size
from cortseq.stages import estimate
from cortseq.stages.estimate import Job
from cortseq.steps import Step

RING = {"source": "synthetic", "kind": "ring", "trials": 40, "units": 8, "bins": 12}
STUDY = {
    "study": "x",
    "members": 2,
    "datasets": {"d": RING},
    "models": {"rate": {"family": "rate", "epochs": 50}, "psth": {"family": "psth"}},
    "theory": {"euler": {}},
}
SIZE = Size("counts", train=60, valid=20, bins=50, features=10, test=20)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder without results, and a user without corrections."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    costs.corrections.cache_clear()
    yield tmp_path
    costs.corrections.cache_clear()


def chain(*links: tuple[str, str], priority: int = 0) -> list[Job]:
    """Jobs that read one file and make another."""
    return [Job("a", made, [given], [made], [], priority) for given, made in links]


@pytest.mark.parametrize(
    ("cores", "wall"),
    [(1, 10.0), (2, 5.0), (9, 5.0)],  # 1 and then 4, beside 3 and 2
)
def test_jobs_wait_for_what_they_read_and_for_a_core(cores, wall):
    planned = chain(("", "x"), ("x", "y"), ("", "u"), ("", "v"))
    assert estimate.scheduled(planned, [1.0, 4.0, 3.0, 2.0], cores) == wall


def test_jobs_of_high_priority_begin_first():
    planned = [*chain(("", "a"), ("", "b")), *chain(("", "c"), priority=1)]
    assert estimate.scheduled(planned, [1.0, 1.0, 5.0], 1) == 7.0
    planned += chain(("c", "d"))
    assert estimate.scheduled(planned, [1.0, 1.0, 5.0, 3.0], 2) == 8.0  # 5 and then 3, beside the short ones


def test_every_step_has_a_word_and_every_job_is_counted():
    whole = study.validate(STUDY | {"controls": True, "calibrate": 19, "cosmoothing": True})
    found = estimate.of_study(whole, {"d": SIZE}, 2)
    kinds = {"load", "preprocess", "split", "fits", "controls", "refits", "dynamics", "tasks", "figures"}
    kinds |= {"theory", "theory_report", "audit", "compare", "claims", "report", "conclude"}
    assert set(found["jobs"]) == kinds
    batches = [batch.name.split("_")[0] for batch in stages.jobs(stages.Plan(whole, None))]
    assert all(batches.count(kind) == n for kind, n in found["jobs"].items() if kind in batches)
    assert min(found["core_seconds"].values()) > 0 and found["usual"] == [] and found["made"]["steps"] == 0
    assert found["seconds"] <= sum(found["core_seconds"].values())
    assert found["seconds"] >= sum(found["core_seconds"].values()) / 2


def test_more_cores_take_no_longer_and_larger_recordings_no_less():
    whole = study.validate(STUDY)
    taken = [estimate.of_study(whole, {"d": SIZE}, cores)["seconds"] for cores in (1, 2, 8)]
    assert taken[0] > taken[1] >= taken[2]
    larger = Size("counts", train=600, valid=200, bins=50, features=10, test=200)
    assert estimate.of_study(whole, {"d": larger}, 1)["seconds"] > taken[0]


def test_jobs_share_steps_whatever_the_sizes():
    whole = study.validate(STUDY)
    large = Size("counts", train=60_000, valid=200, bins=500, features=10, test=200)
    few, many = (estimate.of_study(whole, {"d": size}, 1)["jobs"] for size in (SIZE, large))
    assert few == many


def test_lines_of_an_estimate():
    spent = {"fits": 720.0, "dynamics": 600.0, "figures": 120.0, "tables": 20.0}
    found = {"cores": 2, "jobs": {"fits": 40, "figures": 21}, "seconds": 840.0, "core_seconds": spent}
    found |= {"memory_mb": 1230.0, "usual": [], "basis": "laws", "left": False}
    found |= {"made": {"steps": 0, "of": 90, "core_seconds": 0.0}}
    said = "estimate: about 14 minutes on 2 cores (61 jobs; fits 6.9, dynamics 5.8, figures 1.2), at most 1.2 GB; laws"
    assert estimate.lines(found) == [said]
    found |= {"usual": ["d"], "made": {"steps": 30, "of": 90, "core_seconds": 300.0}}
    _, before, usual = estimate.lines(found)
    assert before == "estimate: of the whole study; 30 of 90 steps were made before, in 5 min of one core"
    assert usual == "estimate: d not read yet, taken for a recording of usual size"
    found |= {
        "left": True,
        "jobs": {"report": 1},
        "seconds": 1.2,
        "core_seconds": {"tables": 1.2},
        "usual": [],
    }
    few, before = estimate.lines(found)
    assert few.startswith("estimate of what is left: about 1.2 seconds on 2 cores (1 job; tables 1.2)")
    assert before == "estimate: 30 of 90 steps were made before, in 5 min of one core"


def test_only_what_is_left_is_estimated():
    """Three jobs that write pages and tables take seconds; the fits that are there take nothing."""
    whole = study.validate(STUDY)
    every = estimate.of_study(whole, {"d": SIZE}, 1)
    last = estimate.of_study(whole, {"d": SIZE}, 1, ["results/x/claims.csv", "results/x/report.html"])
    assert last["jobs"] == {"claims": 1, "report": 1} and last["left"] and not every["left"]
    assert last["core_seconds"].keys() == {"starts", "tables"}
    assert 0 < last["seconds"] < every["seconds"]
    files = [f for job in estimate.of_plan(estimate.of_sizes(whole, {"d": SIZE})) for f in job.made]
    assert estimate.of_study(whole, {"d": SIZE}, 1, files) == every | {"left": True}
    assert estimate.of_study(whole, {"d": SIZE}, 1, [])["jobs"] == {}


def test_steps_that_are_made_stay_unless_what_they_read_is_to_come(home, monkeypatch):
    """The psth's fit is made, the network's is not: of what reads them only what reads the psth alone stays."""
    plan = stages.Plan(study.validate(STUDY), None)
    there = {"fit/d/psth/fold0", "score/d/psth/fold0", "score/d/rate/fold0"}
    monkeypatch.setattr(Step, "is_made", property(lambda step: step.name in there))
    files = {file for batch in stages.jobs(plan) for file in batch.outputs}
    assert estimate.standing(plan, files) == {"fit/d/psth/fold0", "score/d/psth/fold0"}
    again = estimate.standing(plan, files | {"results/x/trials/d.zarr.zip"})  # what all of them read
    assert again == set()
    assert estimate.standing(plan, {"results/x/report.html"}) == set()
    few = estimate.of_study(plan.study, {"d": SIZE}, 1, files, there)
    many = estimate.of_study(plan.study, {"d": SIZE}, 1, files)
    assert few["jobs"] == many["jobs"] and few["core_seconds"]["fits"] < many["core_seconds"]["fits"]


def test_what_steps_took_corrects_the_next_estimate(home):
    whole = study.validate(STUDY)
    plan = estimate.of_sizes(whole, {"d": SIZE})
    said = {name: sum(costs.of_step(cost).values()) for name, cost in plan.costs.items()}
    assert said["fit/d/rate/fold0"] > 0.3
    for name, seconds in said.items():
        note = home / f"results/x/made/{name}.json"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"cpu_seconds": 3 * seconds}))
    before = estimate.of_study(whole, {"d": SIZE}, 1)
    assert before["made"]["steps"] == before["made"]["of"] == len(said)
    costs.learn([("fit/rate", 1e5, 3e5)])  # a large study before this one
    learned = estimate.learn(whole, {"d": SIZE})
    assert learned["fit/rate"] == pytest.approx(3, rel=1e-3)
    assert costs.correction("fit/rate") == learned["fit/rate"]
    assert costs.correction("fit/lstm") == pytest.approx(
        3, rel=1e-3
    )  # of another network: as that of its kind
    assert "fit/psth" not in learned  # too short to tell
    after = estimate.of_study(whole, {"d": SIZE}, 1)
    assert after["core_seconds"]["fits"] == pytest.approx(
        before["core_seconds"]["fits"] * 3 / costs.pace(), rel=0.05
    )


def test_a_step_that_follows_two_laws_corrects_none(home):
    whole = study.validate(STUDY | {"controls": True})
    note = home / "results/x/made/controls/d/rate.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"cpu_seconds": 1000.0}')
    assert estimate.learn(whole, {"d": SIZE}) == {}


def test_a_tiny_study_corrects_little_and_long_steps_count_for_more(home):
    before = costs.pace()
    costs.learn([("score", 0.5, 5.0), ("fit/rate", 30.0, 90.0), ("fit/rate", 0.5, 50.0)])
    assert costs.correction("score") == pytest.approx((5 + 60 * before) / 60.5)
    assert costs.correction("fit/rate") == pytest.approx((140 + 60 * before) / 90.5)


def test_corrections_that_are_not_whole_are_left_out(home):
    costs.learn([("fit/rate", 1e6, 2e6)])
    assert costs.correction("fit/rate") == pytest.approx(2.0, rel=1e-3)
    costs._cache().write_text("{")
    costs.corrections.cache_clear()
    assert costs.corrections() == {} and costs.correction("fit/rate") == costs.pace()
