"""How far a run is: read from the agenda, notes and logs that it leaves, and shown."""

import io
import json
import os

import pytest
from rich.console import Console

from cortseq import running, study, watching
from cortseq.models.work import Size
from cortseq.stages import Plan, estimate

BEGIN = 1_000_000.0


def part(name, seconds, word="fits"):
    return {"name": name, "word": word, "seconds": seconds}


def job(name, parts, given=(), made=(), start=2.0):
    kind = name.removeprefix("batches/").split("_")[0]
    return {
        "kind": kind,
        "name": name,
        "given": list(given),
        "made": list(made),
        "priority": 0,
        "start": start,
        "parts": parts,
    }


class Run:
    """A made-up run in a folder: one job that reads, then two steps of fits in one job, and a figure."""

    def __init__(self, out, cores=1):
        self.out = out
        jobs = [
            job("load/ring", [part("load", 3.0, "reading")], made=["raw"]),
            job("batches/fits_1", [part("fit/a", 100.0), part("fit/b", 50.0)], ["raw"], ["fit"]),
            job("batches/figures_1", [part("figures/x", 10.0, "figures")], ["raw"], ["x.svg"]),
        ]
        self.write("logs/agenda.json", json.dumps({"cores": cores, "jobs": jobs}), 1)
        self.watch = watching.Watch(out, BEGIN)

    def write(self, name, text, after):
        file = self.out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (BEGIN + after, BEGIN + after))

    def look(self, after):
        return self.watch.look(BEGIN + after)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_nothing_is_said_before_a_run_has_begun(run):
    run.write("logs/agenda.json", "{}", -5)  # of an earlier run
    assert run.look(1) is None
    run.write("logs/agenda.json", '{"cores"', 1)  # not written to its end
    assert run.look(1) is None


def test_what_is_left_is_what_the_agenda_says(run):
    seen = run.look(1)
    assert seen.done == {"reading": (0, 1), "fits": (0, 2), "figures": (0, 1)}
    assert seen.steps == (0, 4) and seen.running == {}
    assert seen.seconds == pytest.approx((2 + 3) + (2 + 150) + (2 + 10))


def test_jobs_side_by_side_take_as_long_as_the_longer_one(tmp_path):
    assert Run(tmp_path, cores=2).look(1).seconds == pytest.approx((2 + 3) + (2 + 150))


def test_files_of_an_earlier_run_count_for_nothing(run):
    run.write("made/fit/a.json", '{"seconds": 100}', -1)
    run.write("logs/fit/b.log", "     0.1 s  epoch 3\n", -1)
    run.write("logs/load/ring.log", "     0.1 s  done; 1.0 s of processor time\n", -1)
    assert run.look(1).steps == (0, 4) and run.look(1).running == {}


def test_steps_run_from_the_first_line_of_their_log_to_their_note(run):
    run.write("logs/load/ring.log", "     2.0 s  done; 1.0 s of processor time since the process began\n", 3)
    run.write("logs/fit/a.log", "", 4)
    seen = run.look(5)
    assert seen.done["reading"] == (1, 1) and seen.running == {"fit/a": "begins"}
    run.write("logs/fit/a.log", "     0.2 s  begins\n    12.0 s  rate member 2 epoch 9/80\n", 16)
    seen = run.look(17)
    assert seen.running == {"fit/a": "rate member 2 epoch 9/80"}
    # 12 s of its 100 have passed since it was seen to begin
    assert seen.seconds == pytest.approx((100 - 12) + 50 + (2 + 10))
    run.write("made/fit/a.json", '{"seconds": 100.0}', 104)
    run.write("logs/fit/b.log", "", 105)
    seen = run.look(105)
    assert seen.done["fits"] == (1, 2) and list(seen.running) == ["fit/b"]


def test_what_steps_take_corrects_the_others_of_their_kind(run):
    run.write("logs/load/ring.log", "done; 1.0 s", 3)
    run.write("made/fit/a.json", '{"seconds": 400.0}', 403)
    slower = (400 + 20) / (100 + 20)
    assert run.look(403).seconds == pytest.approx(50 * slower + (2 + 10))
    # a step that goes on far longer than it was thought to is never said to end at once
    run.write("logs/fit/b.log", "", 404)
    run.look(404)
    assert run.look(1404).seconds == pytest.approx(1000 / 10 + (2 + 10))


def test_a_step_that_a_job_found_made_is_made_when_the_job_ends(run):
    run.write("logs/batches/fits_1.log", "     9.0 s  done; 8.0 s of processor time", 9)
    run.write("made/fit/b.json", '{"seconds": 60.0}', 8)
    seen = run.look(10)
    assert seen.done["fits"] == (2, 2)
    assert run.watch._slower()["fits"] == pytest.approx((60 + 20) / (50 + 20))  # the other says nothing


def test_every_step_of_the_agenda_of_a_study_has_a_file_to_look_at(tmp_path):
    """What the watch looks for is what the steps of the demo write: their notes and logs."""
    (tmp_path / "demo.yaml").write_text(running.DEMO)
    demo = study.read(tmp_path / "demo.yaml")
    sized = estimate.of_sizes(demo, {"ring": Size("counts", 100, 10, 10, 40, 16)})
    left = {file for one in estimate.of_plan(sized) for file in one.made}
    found = estimate.agenda(estimate.planned(demo, {}, left, set())[1])
    steps = [p["name"] for one in found if one["name"].startswith("batches/") for p in one["parts"]]
    assert set(Plan(demo, None).costs) <= set(sized.costs) == set(steps)
    assert all(p["seconds"] > 0 for one in found for p in one["parts"])
    assert {"fits", "figures", "audits", "reading", "tables"} <= {
        p["word"] for one in found for p in one["parts"]
    }


# -- how it is shown -------------------------------------------------------------------------------------

SEEN = watching.Seen(
    {"fits": (3, 12), "figures": (0, 40)},
    {"fit/ring/lstm/fold0": "lstm member 2 epoch 9/80 " + "x" * 100, "audit/ring": "begins"},
    400.0,
)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_screen_fits_a_terminal_of_any_width(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(watching.screen(SEEN, "demo", width))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert len(lines) == 5 and all(len(line) <= width for line in lines)
    assert lines[0].startswith("demo: 3 of 52 steps") and (width < 60 or "6.7 min left" in lines[0])
    assert (
        "3/12" in lines[1] and "0/40" in lines[2] and lines[3].strip().startswith("fit ring lstm fold0: lstm")
    )


def test_a_run_that_is_no_terminal_says_each_tenth_once():
    console = Console(file=io.StringIO(), width=40)
    with watching._printed(console, "demo") as say:
        for made in (0, 0, 1, 4, 5, 6, 40):
            say(watching.Seen({"fits": (made, 40)}, {}, 90.0))
    lines = console.file.getvalue().splitlines()
    assert [line.split(" of ")[0] for line in lines] == ["demo: 0", "demo: 4", "demo: 40"]
    assert lines[0] == "demo: 0 of 40 steps, about 1.5 min left"


def test_following_ends_when_the_run_does(run, capsys):
    waits = iter([False, False, True])
    watching.follow(run.watch, lambda seconds: next(waits), "demo")
    assert "demo: 0 of 4 steps" in capsys.readouterr().err
