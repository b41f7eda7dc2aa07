"""The dashboard without a browser: choices, jobs, workers, uploads, what is shown, and the words for every state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pandas as pd
import panel as pn
import pytest
from bokeh.document import Document
from bokeh.server.session import ServerSession
from panel.io.state import set_curdoc
from tornado.ioloop import IOLoop

from jetlab import style
from jetlab.dashboard import CompareDashboard, export, messages
from jetlab.dashboard.components import DropZone
from jetlab.dashboard.jobs import GenerationJob, NewestOnly, Progress
from jetlab.dashboard.library import SHIPPED_FILE, Library, Measured
from jetlab.dashboard.results import same_mix
from jetlab.dashboard.session import CompareSession
from jetlab.dashboard.settings import Settings
from jetlab.dashboard.spectrum import BIN_COLUMNS, STEP_COLUMNS, Spectrum
from jetlab.dashboard.tablecard import distances
from jetlab.dashboard.uploads import MAX_BYTES, read_upload
from jetlab.dashboard.views import tile
from jetlab.dashboard.worker import InPlace, Workers
from jetlab.data import write_jets
from jetlab.errors import FileError, JetLabError, UnitsError
from jetlab.evaluate import ratio, shape
from jetlab.jets import Jets
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import CLASSES
from tests import files
from tests.browser.toy_library import ToyLibrary
from tests.toys import toy_jets

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # Bokeh 3.9 with pandas 3.1

FEW = ["mass", "multiplicity", "constituent_pt"]
FEW_QUERY = {"observables": ",".join(FEW), "jet_classes": "QCD,Hbb"}


def wait_for(condition: Callable[[], object], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def settled(session: CompareSession) -> bool:
    result = session.result
    return result is not None and not (result.pending or result.partial or session.computing)


def opened(query: dict[str, str] | None = None, **library: object) -> CompareSession:
    session = CompareSession(ToyLibrary(**library), post=lambda function: function())
    session.open(FEW_QUERY | (query or {}))
    return session


@pytest.fixture
def session():
    session = opened(shipped=True)
    wait_for(lambda: settled(session))
    yield session
    session.close()


@pytest.fixture
def dashboard():
    dashboard = CompareDashboard(query=FEW_QUERY, shared=ToyLibrary(shipped=True))
    wait_for(lambda: settled(dashboard.session))
    dashboard.session._worker._pool.submit(int).result()  # what was delivered last has been shown
    yield dashboard
    dashboard.session.close()


# ---- choices --------------------------------------------------------------------------------------------------------


def test_choices_survive_the_address():
    settings = Settings(
        jet_classes=["Hbb", "Tbl"], observables=["tau21", "d2"], split="test", model="a/b & c", n=77, temperature=0.75,
        top_k=50, seed=9, plot="d2", log=True, theme="dark",
    )  # fmt: skip
    pairs = (part.split("=") for part in settings.to_query().split("&"))
    again = Settings()
    assert again.read_query({name: unquote(text) for name, text in pairs}) == []
    names = set(settings.param) - {"name"}
    assert {n: getattr(again, n) for n in names} == {n: getattr(settings, n) for n in names}


NONSENSE = {
    "jet_classes": ["QCD,Foo"], "observables": ["charm"], "n": ["3", "many"], "temperature": ["nan"], "seed": ["-1"],
    "theme": ["pink"], "log": ["maybe"], "split": ["train"], "plot": ["../../etc/passwd"], "top_k": ["1e9"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in NONSENSE.items() for text in texts])
def test_nonsense_in_the_address_is_named_and_left_out(name, text):
    settings = Settings()
    before = getattr(settings, name)
    (problem,) = settings.read_query({name: text, "utm_source": "mail"})
    assert name in problem
    assert text[:10] in problem
    assert getattr(settings, name) == before


def test_unknown_model_in_the_address_gives_the_first_one():
    session = opened({"model": "/etc"})
    assert session.settings.model == "toy"
    session.close()


# ---- jobs -----------------------------------------------------------------------------------------------------------


def run_job(stream, total: int = 30, slots: int = 1) -> tuple[GenerationJob, list[Progress], list[Jets]]:
    seen: list[Progress] = []
    batches: list[Jets] = []
    job = GenerationJob(
        stream, total, on_progress=seen.append, on_batch=batches.append, slots=threading.BoundedSemaphore(slots)
    )
    job.start()
    return job, seen, batches


def test_job_reports_every_batch():
    job, seen, batches = run_job(lambda _: iter([toy_jets(10), toy_jets(20)]))
    job.join(10)
    assert [p.phase for p in seen] == ["waiting", "loading", "running", "running", "running", "done"]
    assert [p.done for p in seen[2:]] == [0, 10, 30, 30]
    assert sum(map(len, batches)) == 30
    assert seen[-1].rate > 0
    assert seen[-1].left == 0


def test_job_stops_and_keeps_what_is_finished():
    def endless(stop):
        while not stop():
            yield toy_jets(10)
            time.sleep(0.01)

    job, seen, batches = run_job(endless, total=1_000_000)
    wait_for(lambda: len(batches) > 1)
    job.stop()
    job.join(10)
    assert seen[-1].phase == "stopped"
    assert seen[-1].done == 10 * len(batches)


def test_failed_job_says_why_and_frees_its_slot():
    def broken(_):
        yield toy_jets(10)
        msg = "out of luck"
        raise RuntimeError(msg)

    slots = threading.BoundedSemaphore(1)
    seen: list[Progress] = []
    job = GenerationJob(broken, 30, on_progress=seen.append, on_batch=lambda _: None, slots=slots)
    job.start()
    job.join(10)
    assert (seen[-1].phase, seen[-1].error, seen[-1].done) == ("failed", "out of luck", 10)
    assert slots.acquire(blocking=False)


def test_jobs_wait_for_a_slot_and_can_be_stopped_while_waiting():
    slots = threading.BoundedSemaphore(1)
    slots.acquire()
    seen: list[Progress] = []
    job = GenerationJob(lambda _: iter(()), 30, on_progress=seen.append, on_batch=lambda _: None, slots=slots)
    job.start()
    job.stop()
    job.join(10)
    assert [p.phase for p in seen] == ["waiting", "stopped"]


def test_only_the_newest_task_runs():
    worker, ran, gate = NewestOnly(), [], threading.Event()
    worker.submit(lambda: (gate.wait(10), ran.append(0)))
    wait_for(worker._pool._work_queue.empty)
    for k in (1, 2, 3):
        worker.submit(lambda k=k: ran.append(k))
    gate.set()
    wait_for(lambda: 3 in ran)
    assert ran == [0, 3]
    worker.close()


# ---- workers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workers():
    workers = Workers(1)
    yield workers
    workers.close()


def test_worker_answers_and_raises_like_a_call(workers):
    assert workers.call(np.add, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        workers.call(divmod, 1, 0)


def test_worker_computes_what_the_present_process_computes(workers):
    jets = toy_jets(40)
    there, here = (Measured(jets, caller=c).observed(["mass", "tau21"])[1] for c in (workers, InPlace()))
    for name in ("mass", "tau21"):
        np.testing.assert_array_equal(there.values[name], here.values[name])


def test_worker_that_ends_is_replaced(workers):
    first = workers.call(os.getpid)
    os.kill(first, signal.SIGKILL)
    assert workers.call(os.getpid) != first, "whatever ended the child, the call is answered"
    with pytest.raises(JetLabError, match="has ended twice"):
        workers.call(os._exit, 1)
    assert workers.call(max, 1, 2) == 2


def test_observables_are_computed_once_and_for_new_jets_only():
    calls = []

    class Counting(InPlace):
        def call(self, function, jets, names):
            calls.append((len(jets), tuple(names)))
            return function(jets, names)

    caller = Counting()
    measured = Measured(toy_jets(30), caller=caller)
    measured.observed(["mass"])
    measured.add(toy_jets(10, seed=1))
    jets, observed = measured.observed(["mass", "pt"])
    measured.observed(["pt"])
    assert calls == [(30, ("mass",)), (30, ("pt",)), (10, ("mass", "pt"))]
    np.testing.assert_array_equal(observed.values["mass"], jets.mass)
    assert len(measured) == len(jets) == 40


# ---- uploads --------------------------------------------------------------------------------------------------------


def file_of(jets: Jets, tmp_path, ending: str) -> bytes:
    path = tmp_path / f"jets{ending}"
    write_jets(jets, path)
    return path.read_bytes()


def test_upload_is_read_in_its_own_process(tmp_path):
    jets = toy_jets(50)
    upload = read_upload("C:\\fakepath\\my jets.PARQUET", file_of(jets, tmp_path, ".parquet"))
    assert len(upload.jets) == 50
    np.testing.assert_allclose(upload.jets.mass, jets.mass, rtol=1e-3, atol=0.5)
    np.testing.assert_array_equal(upload.jets.label, jets.label)
    assert "Parquet" in upload.recognised
    assert any("GeV" in note for note in upload.notes)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.parquet", b"these are my notes\n" * 40, "notes.parquet"),
        ("jets.h5", b"", "jets.h5"),
        ("jets.root", b"root" + bytes(400), "jets.root"),
        ("jets.npz", b"PK\x03\x04" + bytes(50), "jets.npz"),
        ("model.pkl", b"\x80\x04", ".pkl; expected one of .parquet"),
        ("jets", b"", "nothing; expected one of .parquet"),
    ],
)
def test_bad_upload_is_named_and_explained(name, content, words):
    with pytest.raises(FileError) as caught:
        read_upload(name, content)
    assert words in str(caught.value)
    assert "jetlab-upload" not in str(caught.value)


def test_upload_of_another_domain_is_refused(tmp_path):
    files.store_npz(tmp_path / "events.npz", files.neutrino())
    with pytest.raises(FileError, match=r"events\.npz holds neutrino events; expected jets"):
        read_upload("events.npz", (tmp_path / "events.npz").read_bytes())


def test_upload_in_wrong_units_is_refused(tmp_path):
    jets = toy_jets(50)
    columns = {name: jets.flat(name) for name in ("eta", "phi", "mass")} | {"pt": jets.flat("pt") / 700}
    wrong = Jets.from_flat(jets.offsets, columns, check=False)
    with pytest.raises(FileError, match="GeV"):
        read_upload("relative.parquet", file_of(wrong, tmp_path, ".parquet"))
    with pytest.raises(UnitsError):
        Jets.from_flat(jets.offsets, columns)


def test_too_large_upload_is_refused_before_it_is_written(monkeypatch):
    monkeypatch.setattr("jetlab.dashboard.uploads.MAX_BYTES", 100)
    with pytest.raises(FileError, match="at most"):
        read_upload("jets.npz", bytes(101))


def test_hopeless_upload_is_ended_in_time(monkeypatch):
    monkeypatch.setattr("jetlab.dashboard.uploads._MAX_SECONDS", 0.01)
    with pytest.raises(FileError, match="took more than"):
        read_upload("jets.npz", bytes(10))


# ---- what is drawn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_spectrum_draws_the_numbers_of_evaluate(session, name):
    hists = session.result.hists[name]
    spectrum = Spectrum.of(name, hists)
    scale = "log-density" if OBSERVABLES[name].logarithmic else "density"
    true, generated = (shape(hists[role], scale=scale) for role in ("true", "generated"))
    steps, bins = spectrum.step_columns(), spectrum.bin_columns()
    assert set(steps) == set(STEP_COLUMNS)
    assert set(bins) == set(BIN_COLUMNS)
    np.testing.assert_array_equal(steps["true"][::2], true.values)
    np.testing.assert_array_equal(steps["generated"][1::2], generated.values)
    np.testing.assert_array_equal(steps["x"], np.repeat(true.edges, 2)[1:-1])
    np.testing.assert_allclose(steps["true_high"][::2], true.values + true.errors)
    r = ratio(hists["true"], hists["generated"])
    drawn = np.isfinite(bins["ratio"])
    assert drawn.any()
    np.testing.assert_array_equal(bins["ratio"][drawn], r.value[drawn])


def test_ratios_outside_the_frame_become_triangles(session):
    spectrum = Spectrum.of("mass", session.result.hists["mass"])
    bins, r, reach = spectrum.bin_columns(), spectrum.ratio, spectrum.reach
    np.testing.assert_array_equal(np.isfinite(bins["above"]), r.value > 1 + reach)
    np.testing.assert_array_equal(np.isfinite(bins["below"]), r.value < 1 - reach)
    np.testing.assert_array_equal(np.isfinite(bins["ratio"]), np.abs(r.value - 1) <= reach)


def test_logarithmic_axis_keeps_both_samples(session):
    spectrum = Spectrum.of("mass", session.result.hists["mass"])
    low, high = spectrum.limits(log=True)
    steps = spectrum.step_columns()
    for name, drawn in (("true", spectrum.true), ("generated", spectrum.generated)):
        filled = np.repeat(drawn.values > 0, 2)
        assert (steps[f"{name}_log"] > 0).all(), "nothing on a logarithmic axis may be zero"
        assert (steps[f"{name}_log"][filled] >= low).all()
        assert (steps[f"{name}_log"][~filled] < low).all()
        assert (steps[f"{name}_log"] < high).all()


def test_tile_shows_both_samples_and_verdict(session):
    shown = tile("mass", session.result)
    row = session.result.comparison.table.loc["mass"]
    assert shown["true"].startswith("M")
    assert shown["generated"].startswith("M")
    assert shown["level"] == style.verdict(row["z"]).name
    assert shown["value"] == messages.z_words(row["z"])
    assert f"z = {messages.z_number(row['z'])}" in shown["tip"]
    assert tile("mass", None)["level"] == "pending"
    assert tile("mass", None, waiting=False)["level"] == "unknown"


def test_empty_histograms_can_be_drawn():
    import hist

    empty = hist.Hist(hist.axis.Regular(4, 0, 1), storage=hist.storage.Weight())
    spectrum = Spectrum.of("mass", {"true": empty, "generated": empty})
    assert np.isfinite(spectrum.step_columns()["true_log"]).all()
    assert spectrum.limits(log=True)[0] > 0
    assert spectrum.tile_paths()["true"]


def test_table_sorts_by_numbers_and_shows_uncertainties(session):
    frame = distances(session.result)
    assert list(frame["name"]) == session.result.comparison.worst_first
    assert frame["w1"].dtype == np.float64
    assert frame["w1_text"].str.contains("±").all()
    assert distances(None).empty


# ---- a session ------------------------------------------------------------------------------------------------------


def test_jets_that_came_with_the_model_are_compared_at_once(session):
    assert session.candidate.kind == "shipped"
    assert set(session.result.generated.class_counts()) == {"QCD", "Hbb"}
    assert set(session.result.true.class_counts()) == {"QCD", "Hbb"}
    assert set(session.result.comparison.table.index) == set(FEW)
    assert session.notices == []


def test_choices_are_followed(session):
    session.settings.param.update(jet_classes=["Tbl"], observables=["pt"], split="test")
    wait_for(lambda: settled(session) and session.result.names == ("pt",))
    assert set(session.result.true.class_counts()) == {"Tbl"}
    assert (session.result.true.info["split"] == 2).all()
    assert session.settings.plot == "pt", "the plot falls back to an observable that is chosen"


def test_generation_arrives_in_parts_and_ends_complete():
    session = opened({"n": "60", "seed": "3"}, pause=0.15)
    results = []
    session.param.watch(lambda event: results.append(event.new), "result")
    wait_for(lambda: settled(session))
    session.generate()
    session.generate()  # a second click changes nothing
    wait_for(lambda: session.progress.phase == "done" and settled(session) and len(session.result.generated) == 60)
    sizes = [len(r.generated) for r in results if r is not None]
    assert any(0 < size < 60 for size in sizes), "partial results are shown"
    assert sizes == sorted(sizes)
    assert not session.result.partial
    assert session.result.generated.class_counts() == {"QCD": 30, "Hbb": 30}
    assert "seed 3" in session.candidate.detail
    session.close()


def test_same_choices_generate_the_same_jets():
    found = []
    for _ in range(2):
        session = opened({"n": "20"})
        session.generate()
        wait_for(lambda s=session: s.progress.phase == "done" and settled(s) and len(s.result.generated) == 20)
        found.append(session.result.generated)
        session.close()
    np.testing.assert_array_equal(found[0].flat("pt"), found[1].flat("pt"))


def test_stopped_generation_keeps_what_is_finished():
    session = opened({"n": "2000"}, pause=0.05)
    session.generate()
    wait_for(lambda: session.progress.done >= 20)
    session.stop()
    wait_for(lambda: session.progress.phase == "stopped")
    wait_for(lambda: settled(session) and len(session.result.generated) == session.progress.done)
    assert 0 < len(session.result.generated) < 2000
    assert "Stopped after" in messages.progress_words(session.progress)
    session.close()


def test_end_of_the_session_ends_its_generation():
    session = opened({"n": "20000"}, pause=0.05)
    session.generate()
    wait_for(lambda: session.progress.going)
    session.close()
    session._job.join(20)
    assert not session._job._thread.is_alive()


def test_true_jets_are_mixed_like_the_generated_ones():
    true = np.repeat([0, 1, 2], [100, 50, 100])
    keep = same_mix(true, np.repeat([0, 1], [60, 20]))
    assert np.bincount(true[keep], minlength=3).tolist() == [100, 33, 0]
    np.testing.assert_array_equal(np.flatnonzero(keep)[:100], np.arange(100))
    assert same_mix(true, np.repeat([0, 1, 2], [201, 99, 200])).all(), "small differences do not matter"
    assert same_mix(true, []) == slice(None)


def test_only_classes_of_both_sides_are_compared():
    session = opened({"n": "20", "jet_classes": "QCD"})
    session.generate()
    wait_for(lambda: session.progress.phase == "done" and settled(session) and len(session.result.generated) == 20)
    session.settings.jet_classes = ["QCD", "Tbl"]
    wait_for(lambda: settled(session) and session.result.key[0] == ("QCD", "Tbl"))
    assert set(session.result.true.class_counts()) == {"QCD"}
    notice = only_notice(session)
    assert "t→bℓν" in notice.title
    assert "only q/g" in notice.text
    session.act(notice)
    wait_for(lambda: session.progress.phase == "done" and settled(session) and len(session.result.generated) == 20)
    wait_for(lambda: set(session.result.true.class_counts()) == {"QCD", "Tbl"})
    assert session.notices == []
    session.close()


def test_sessions_do_not_disturb_each_other():
    library = ToyLibrary(shipped=True)
    first, second = (CompareSession(library, post=lambda function: function()) for _ in range(2))
    first.open(FEW_QUERY)
    second.open(FEW_QUERY | {"jet_classes": "Tbl", "theme": "dark"})
    wait_for(lambda: settled(first) and settled(second))
    second.settings.plot = "multiplicity"
    assert first.settings.plot == "mass"
    assert first.settings.theme == "light"
    assert set(first.result.true.class_counts()) == {"QCD", "Hbb"}
    assert set(second.result.true.class_counts()) == {"Tbl"}
    with pytest.raises(ValueError, match="read-only"):
        first.result.true.flat("pt")[0] = 1.0
    first.close()
    second.close()


def test_upload_replaces_the_compared_jets_and_can_be_removed(session, tmp_path):
    content = file_of(toy_jets(120, seed=8)["QCD"], tmp_path, ".parquet")
    session.upload("mine.parquet", content)
    assert session.uploading
    wait_for(lambda: session.candidate.kind == "upload" and settled(session))
    assert len(session.result.generated) == 12
    session.show_shipped()
    wait_for(lambda: settled(session) and len(session.result.generated) == 40)


# ---- every state has a sentence and a way out -----------------------------------------------------------------------


def only_notice(session: CompareSession) -> messages.Notice:
    (notice,) = session.notices
    return notice


def test_no_class_and_no_observable(session):
    for name, cause in (("jet_classes", "classes"), ("observables", "observables")):
        setattr(session.settings, name, [])
        assert session.result is None
        notice = only_notice(session)
        assert notice.cause == cause
        session.act(notice)
        assert getattr(session.settings, name) == session.settings.param[name].objects
    session.settings.observables = FEW
    wait_for(lambda: settled(session) and set(session.result.names) == set(FEW))
    assert session.notices == []


def test_no_model():
    session = opened(models=())
    wait_for(lambda: settled(session))
    assert "No model" in only_notice(session).title
    assert "Drop a file" in only_notice(session).text
    assert session.result.comparison is None
    assert len(session.result.true) > 0
    session.generate()
    assert not session.progress.going
    session.close()


def test_nothing_generated_yet():
    session = opened({"n": "20"})
    wait_for(lambda: settled(session))
    notice = only_notice(session)
    assert notice.action_label == "Generate 20 jets"
    session.act(notice)
    wait_for(lambda: session.progress.phase == "done" and settled(session) and len(session.result.generated) == 20)
    assert session.notices == []
    session.close()


def test_generated_jets_of_other_classes():
    session = opened({"n": "20"})
    session.generate()
    wait_for(lambda: session.progress.phase == "done" and settled(session) and len(session.result.generated) == 20)
    session.settings.jet_classes = ["Tbl"]
    wait_for(lambda: settled(session) and set(session.result.true.class_counts()) == {"Tbl"})
    assert "t→bℓν" in only_notice(session).title
    assert only_notice(session).action == "generate"
    session.close()


def test_upload_without_the_chosen_class(session, tmp_path):
    session.upload("mine.parquet", file_of(toy_jets(120, seed=8)["Tbl"], tmp_path, ".parquet"))
    wait_for(lambda: session.candidate.kind == "upload" and settled(session))
    notice = only_notice(session)
    assert "12 t→bℓν" in notice.text
    session.act(notice)
    wait_for(lambda: settled(session) and len(session.result.generated) == 12)
    assert session.notices == []


def test_failed_upload_keeps_what_was_compared(session):
    before = session.result
    session.upload("<b>notes</b>.parquet", b"not jets at all, only text " * 9)
    wait_for(lambda: not session.uploading)
    assert only_notice(session).level == "error"
    assert "could not be read" in only_notice(session).title
    assert session.result is before
    session.act(only_notice(session))
    assert session.notices == []
    session.upload_too_large("big.root", MAX_BYTES + 1)
    assert "too large" in only_notice(session).title


def test_failed_generation_can_be_tried_again():
    session = opened(models=("broken", "toy"))
    session.generate()
    wait_for(lambda: session.progress.phase == "failed")
    failure = next(n for n in session.notices if n.level == "error")
    assert "weights are damaged" in failure.text
    session.settings.model = "toy"
    session.settings.n = 20
    session.act(failure)
    wait_for(lambda: session.progress.phase == "done" and settled(session) and len(session.result.generated) == 20)
    session.close()


def test_models_of_flows_are_asked_for_steps_instead_of_temperatures():
    query = FEW_QUERY | {"model": "flow", "steps": "2"}
    dashboard = CompareDashboard(query=query, shared=ToyLibrary(models=("toy", "flow")))
    session, rail = dashboard.session, dashboard.rail
    assert (rail._of_tokens.visible, rail._of_flows.visible) == (False, True)
    session.settings.n = 20
    session.generate()
    wait_for(lambda: session.progress.phase == "done" and settled(session))
    assert "2 steps" in session.candidate.detail
    assert session.candidate.measured.jets.meta["steps"] == 2
    session.settings.model = "toy"
    assert (rail._of_tokens.visible, rail._of_flows.visible) == (True, False)
    session.close()


def test_failed_computation_is_a_sentence(monkeypatch):
    def fail(*args, **options):
        msg = "no room left"
        raise RuntimeError(msg)

    monkeypatch.setattr(ToyLibrary, "compare", fail)
    session = opened(shipped=True)
    wait_for(lambda: any(n.cause == "computing" for n in session.notices))
    failure = next(n for n in session.notices if n.cause == "computing")
    assert "no room left" in failure.text
    assert not session.computing
    monkeypatch.undo()
    session.act(failure)
    wait_for(lambda: session.result is not None and session.result.comparison is not None)
    assert session.notices == []
    session.close()


def test_bad_address_is_said(session):
    session = opened({"theme": "pink"})
    wait_for(lambda: settled(session))
    assert "pink" in session.notices[0].text
    session.close()


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress("waiting"), "Waiting"),
        (Progress("loading"), "Loading"),
        (Progress("running", 0, 100), "first jets"),
        (Progress("running", 50, 100, 2.0), "50 of 100 · 25 jets/s · 2 s left"),
        (Progress("stopped", 50, 100, 2.0), "Stopped after 50 of 100 jets"),
        (Progress("done", 1000, 1000, 20.0), "1,000 jets in 20 s (50 jets/s)"),
        (Progress("done"), ""),
    ],
)
def test_words_of_progress(progress, words):
    assert words in messages.progress_words(progress)


@pytest.mark.parametrize(
    ("z", "words"), [(0.04, "✓ 0.0"), (-0.04, "✓ 0.0"), (2.04, "! 2.0"), (123.4, "✗ 123"), (np.nan, "?")]
)
def test_words_of_a_verdict(z, words):
    assert messages.z_words(z) == words


@pytest.mark.parametrize(("p", "words"), [(0.0312, "0.031"), (1e-92, "< 10⁻⁶"), (0.0, "< 10⁻⁶"), (np.nan, "–")])
def test_words_of_a_p_value(p, words):
    assert messages.p_words(p) == words


def test_verdict_counts_and_names_the_worst(session):
    words = messages.verdict_words(session.result)
    z = session.result.comparison.table["z"]
    assert f"{int((z <= 2).sum())} of 3 observables agree" in words
    assert "only 40 generated jets" in words


def test_classes_in_words():
    assert messages.class_words(["Tbqq", "Hbb"]) == "t→bqq′ + H→bb̄"
    assert messages.class_words(CLASSES) == "all ten classes"
    assert messages.class_words(CLASSES[:5]) == "5 classes"


# ---- what can be taken away -----------------------------------------------------------------------------------------


def test_histograms_in_csv_hold_every_jet(session):
    import io

    frame = pd.read_csv(io.StringIO(export.histograms_csv(session.result)))
    mass = frame[frame["observable"] == "mass"]
    assert mass["true"].sum() == len(session.result.true)
    assert mass["generated"].sum() == len(session.result.generated)
    assert np.isinf(mass["low"].iloc[0])
    np.testing.assert_array_equal(mass["high"].iloc[:-1], mass["low"].iloc[1:])


def test_table_in_csv_markdown_and_latex(session):
    import io

    frame = pd.read_csv(io.StringIO(export.table_csv(session.result)), index_col="observable")
    pd.testing.assert_series_equal(frame["w1"], session.result.comparison.table["w1"], check_index_type=False)
    assert export.table_text(session.result, "markdown").startswith("| Observable")
    assert r"\begin{tabular}" in export.table_text(session.result, "latex")


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
@pytest.mark.parametrize("log", [False, True])
def test_pictures(session, kind, magic, log):
    assert export.picture(session.result, "mass", kind=kind, log=log, title="q/g").startswith(magic)


# ---- the page -------------------------------------------------------------------------------------------------------


def test_clicking_a_tile_selects_the_plot(dashboard):
    dashboard.verdict.strip.selected = "multiplicity"
    assert dashboard.session.settings.plot == "multiplicity"
    assert "plot=multiplicity" in dashboard._bridge.query
    dashboard.session.settings.plot = "mass"
    assert dashboard.verdict.strip.selected == "mass"


def test_tiles_stand_worst_first(dashboard):
    def in_order() -> bool:
        return [t["name"] for t in dashboard.verdict.strip.tiles] == dashboard.session.result.comparison.worst_first

    wait_for(in_order)


def test_theme_reaches_every_figure(dashboard):
    dashboard._bridge.theme = "dark"
    assert dashboard.session.settings.theme == "dark"
    ink = style.THEMES["dark"].text
    figures = [dashboard.plot.figure(None)._main, *(f.figure for f in dashboard.jets.figures.values())]
    assert all(axis.axis_line_color == ink for fig in figures for axis in fig.axis)


def test_log_is_a_figure_of_its_own(dashboard):
    linear = dashboard.plot._drawing.object
    dashboard.session.settings.log = True
    assert dashboard.plot._drawing.object is not linear
    dashboard.session.settings.log = False
    assert dashboard.plot._drawing.object is linear


def test_nothing_of_the_last_choice_stays_when_nothing_is_chosen(dashboard):
    fig = dashboard.plot.figure(None)
    assert len(fig._bins.data["mid"]) > 0
    dashboard.session.settings.jet_classes = []
    assert len(fig._bins.data["mid"]) == 0
    assert {t["level"] for t in dashboard.verdict.strip.tiles} == {"unknown"}
    assert len(dashboard.table.table.value) == 0
    assert not dashboard.image.figure.filled


def test_figures_on_a_page_change_without_the_lock_of_its_document(dashboard):
    """Panel hands on clicks and choices without it, and Bokeh refuses changes then."""
    page = Document()
    figures = [*dashboard.jets.figures.values(), dashboard.image.figure]
    for root in (dashboard.plot.figure(None).layout, *(f.figure for f in figures)):
        page.add_root(root)
    loop = IOLoop(make_current=False)
    session = ServerSession("session", page, loop)
    context = SimpleNamespace(session=session, request=SimpleNamespace(arguments={}))
    page._session_context = lambda: context
    pn.state._loaded[page] = True
    with set_curdoc(page):
        pn.state._thread_id = threading.get_ident()
        dashboard.session.settings.plot = "multiplicity"
        dashboard.session.settings.theme = "dark"
        dashboard.jets.move(1)
        for which in ("true", "difference"):
            dashboard.image._which.value = which
        dashboard.session.settings.jet_classes = []
    loop.close()
    assert "Constituents" in dashboard.plot._title.object
    assert not dashboard.image.figure.filled


def test_previous_next_and_random_jet(dashboard):
    source = dashboard.jets.figures["true"]._source
    first = list(source.data["pt"])
    dashboard.jets.move(1)
    assert list(source.data["pt"]) != first
    dashboard.jets.move(-1)
    assert list(source.data["pt"]) == first
    dashboard.jets.move(0)
    assert len(source.data["pt"]) > 0
    assert len(dashboard.jets.figures["generated"]._source.data["pt"]) > 0


def test_average_jet(dashboard):
    for which in ("true", "generated", "difference"):
        dashboard.image._which.value = which
        assert dashboard.image.figure.filled


def test_page_holds_all_parts_and_the_choices_of_its_address():
    dashboard = CompareDashboard(query=FEW_QUERY | {"theme": "dark"}, shared=ToyLibrary(shipped=True))
    page = dashboard.page()
    assert page._render_variables["theme_name"] == "dark"
    assert "arXiv:1011.2268" in page._render_variables["help"]
    assert style.sample_styles(["generated"])["generated"].colour in page._render_variables["page_css"]
    dashboard.session.close()


def test_file_names_are_escaped(dashboard):
    dashboard.session.upload_too_large("<script>alert(1)</script>.root", MAX_BYTES + 1)
    _, row = dashboard.notices.panel.objects
    assert "<script>" not in row[0].object
    assert "&lt;script&gt;" in row[0].object


def test_drop_zone_refuses_more_than_its_limit(dashboard):
    zone = dashboard.rail._file
    zone.limit = 10
    part = {"kind": "part", "id": "a", "name": "x.npz", "size": 3, "parts": 4}
    for k in range(4):
        zone._handle_msg(part | {"part": k, "data": bytes(4)})
    assert "too large" in only_notice(dashboard.session).title
    assert not dashboard.session.uploading
    assert zone._parts == []


def test_drop_zone_puts_the_parts_together():
    received = []
    zone = DropZone(on_file=lambda *file: received.append(file), on_too_large=lambda *file: received.append(file))
    for k in range(3):
        zone._handle_msg(
            {"kind": "part", "id": "a", "name": "x.npz", "size": 6, "parts": 3, "part": k, "data": bytes([k, k])}
        )
    zone._handle_msg({"kind": "refused", "name": "big.npz", "size": 10**9})
    assert received == [("x.npz", b"\x00\x00\x01\x01\x02\x02"), ("big.npz", 10**9)]


def test_only_listed_models_are_loaded(session):
    session.settings.model = "/somewhere/else"
    session.generate()
    assert not session.progress.going


def test_zoom_stays_while_jets_arrive_and_ends_with_another_observable(dashboard):
    spectrum = Spectrum.of("mass", dashboard.session.result.hists["mass"])
    fig = dashboard.plot.figure(spectrum)
    fig._x.update(start=80, end=90)
    fig.show(spectrum)
    assert (fig._x.start, fig._x.end) == (80, 90)
    fig.show(Spectrum.of("multiplicity", dashboard.session.result.hists["multiplicity"]))
    assert (fig._x.start, fig._x.end) != (80, 90)


def test_jets_in_the_folder_of_a_model_are_shipped_with_it(tmp_path, monkeypatch):
    write_jets(toy_jets(20), tmp_path / SHIPPED_FILE)
    listed = pd.DataFrame(
        {"description": ["small", "bare", "tags"], "task": ["generation", "generation", "tagging"]},
        index=["toy", "bare", "tagger"],
    )
    monkeypatch.setattr("jetlab.zoo.list_models", lambda: listed)
    monkeypatch.setattr("jetlab.zoo.describe", lambda name: {"path": tmp_path if name == "toy" else tmp_path / "none"})
    library = Library(caller=InPlace())
    assert library.models == {"toy": "small", "bare": "bare"}
    assert len(library.shipped("toy")) == 20
    assert library.shipped("bare") is None
    assert library.shipped("") is None


def test_results_that_are_the_same_for_all_are_computed_once(monkeypatch):
    library = ToyLibrary(shipped=True)
    for _ in range(2):
        session = CompareSession(library, post=lambda function: function())
        session.open(FEW_QUERY)
        wait_for(lambda s=session: settled(s))
        session.close()
        monkeypatch.setattr(library, "compare", None)  # the second session must do without


def test_torch_is_not_imported_before_something_is_generated():
    code = (
        "import sys, panel as pn; pn.extension('tabulator')\n"
        "from jetlab.dashboard import CompareDashboard\n"
        "d = CompareDashboard(); d.page(); d.session.close()\n"
        "heavy = {'torch', 'fastjet', 'uproot', 'h5py', 'hvplot', 'holoviews.plotting'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
