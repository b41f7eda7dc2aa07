"""The command line: what it says, what it writes, and how it fails."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import urllib.request

import pytest
from rich.console import Console

from jetlab.cli import _terminal, main
from jetlab.cli._bar import progress_bar


@pytest.fixture
def run(capsys):
    """Run a command line in this process; gives status, standard output and standard error."""

    def _run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return _run


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A file of 12 jets of two classes, made by the command line."""
    path = tmp_path_factory.mktemp("simulated") / "true.parquet"
    words = ["--classes", "QCD,Tbqq", "--n", "12", "--seed", "3", "--no-mpi", "--processes", "1", "--out", str(path)]
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *words])
    assert ended.value.code == 0
    return path


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A file of 12 jets of two classes from the shipped model, made by the command line."""
    path = tmp_path_factory.mktemp("generated") / "generated.parquet"
    with pytest.raises(SystemExit) as ended:
        main(["generate", "--classes", "QCD,Tbqq", "--n", "12", "--seed", "3", "--out", str(path)])
    assert ended.value.code == 0
    return path


# ---- help -----------------------------------------------------------------------------------------------------------


def test_help_lists_the_verbs(run):
    status, out, _ = run("--help")
    assert status == 0
    for verb in ("simulate", "train", "generate", "compare", "models", "data", "dashboard"):
        assert re.search(rf"\b{verb}\b", out)


def test_help_is_fast_and_loads_nothing_heavy():
    code = (
        "import sys, time\n"
        "from jetlab.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted(sys.modules.keys() & {'torch', 'numpy', 'pandas', 'awkward', 'panel', 'matplotlib'}))\n"
        "print(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    *_, heavy, seconds = done.stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < 1.0


def test_version(run):
    from jetlab import __version__

    assert run("--version") == (0, f"jetlab {__version__}\n", "")


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_an_unknown_class_is_answered_with_the_known_ones(run, tmp_path):
    status, _, err = run("simulate", "--classes", "QCD,Hxx", "--out", tmp_path / "jets.parquet")
    assert status == 2
    assert "Hxx" in err
    assert "Tbqq" in err


def test_an_unknown_verb_is_answered_with_the_nearest(run):
    status, _, err = run("simulat")
    assert status == 2
    assert "simulate" in err


@pytest.mark.parametrize("words", [("data", "show", "nowhere.parquet"), ("compare", "sample", "nowhere.parquet")])
def test_a_missing_file_is_one_sentence_without_traceback(run, words):
    status, _, err = run(*words)
    assert status == 1
    assert err.startswith("Error: ")
    assert "nowhere.parquet" in err
    assert "Traceback" not in err


def test_a_file_that_is_not_of_its_name_is_said_so(run, tmp_path):
    path = tmp_path / "text.parquet"
    path.write_text("these are not jets", encoding="utf-8")
    status, _, err = run("data", "show", path)
    assert status == 1
    assert "text.parquet" in err
    assert "Traceback" not in err


def test_an_unknown_model_is_answered_with_the_known_ones(run, tmp_path):
    status, _, err = run("generate", "--model", "omnijet-huge", "--out", tmp_path / "jets.parquet")
    assert status == 1
    assert "omnijet-huge" in err
    assert "omnijet-tiny" in err


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_anywhere_shows_where_an_error_comes_from(place):
    words = ["data", "show", "nowhere.parquet"]
    words.insert(place, "--debug")
    with pytest.raises(Exception, match="nowhere") as raised:
        main(words)
    assert not isinstance(raised.value, SystemExit)


def test_an_error_nobody_expected_names_its_kind(run, monkeypatch):
    import jetlab.data

    def broken(*_args, **_kwargs):
        return 1 / 0

    monkeypatch.setattr(jetlab.data, "load_jets", broken)
    status, _, err = run("data", "show", "sample")
    assert status == 1
    assert "ZeroDivisionError: " in err
    assert "--debug" in err


# ---- verbs ----------------------------------------------------------------------------------------------------------


def test_simulate_writes_the_jets_asked_for_and_their_provenance(simulated):
    import jetlab

    jets = jetlab.load_jets(simulated)
    assert jets.class_counts() == {"QCD": 6, "Tbqq": 6}
    assert jets.meta["seed"] == 3
    assert jets.meta["mpi"] is False


def test_simulate_says_what_it_does_and_what_is_next(run, tmp_path):
    path = tmp_path / "jets.parquet"
    words = (
        "--classes",
        "Wqq",
        "--n",
        4,
        "--seed",
        1,
        "--no-mpi",
        "--detector",
        "none",
        "--layout",
        "compact",
        "-p",
        1,
    )
    status, out, err = run("simulate", *words, "--out", path)
    assert status == 0, err
    assert out.startswith("Simulating 4 jets of Wqq (seed 1)\n")
    assert "W→qq′" in out
    assert f"Wrote {path}" in out
    assert "Next: jetlab generate" in out
    assert "4 of 4 jets" in err


def test_simulate_does_not_overwrite(run, simulated):
    before = simulated.read_bytes()
    status, _, err = run("simulate", "--classes", "QCD", "--n", 2, "--no-mpi", "--processes", 1, "--out", simulated)
    assert status == 1
    assert "exists" in err
    assert simulated.read_bytes() == before


def test_generate_writes_labelled_jets_and_their_provenance(generated):
    import jetlab

    jets = jetlab.load_jets(generated)
    assert jets.class_counts() == {"QCD": 6, "Tbqq": 6}
    assert jets.meta["seed"] == 3


def test_compare_prints_a_table_and_writes_a_page(run, simulated, generated, tmp_path):
    page = tmp_path / "report.html"
    words = ("--observables", "mass,multiplicity", "--bootstrap", 20)
    status, out, err = run("compare", simulated, generated, *words, "--out", page)
    assert status == 0, err
    assert "Comparing 12 generated jets with 12 true jets" in out
    assert "Jet mass [GeV]" in out
    assert "Constituents" in out
    assert f"Wrote {page}" in out
    assert page.stat().st_size > 10_000


def test_compare_takes_true_jets_in_the_mixture_of_the_generated(run, generated):
    status, out, err = run("compare", "sample", generated, "--observables", "mass", "--bootstrap", 10)
    assert status == 0, err
    (count,) = re.findall(r"with ([\d,]+) true jets of QCD, Tbqq", out)
    assert int(count.replace(",", "")) == 4000


def test_models_list_names_the_shipped_model(run):
    status, out, _ = run("models", "list")
    assert status == 0
    assert "omnijet-tiny" in out


def test_models_show_prints_the_card(run):
    status, out, err = run("models", "show", "omnijet-tiny")
    assert status == 0, err
    assert "seed" in out.lower()
    assert "jetlab generate --model omnijet-tiny" in out
    _, tagger, _ = run("models", "show", "omnijet-tagger")
    assert "jetlab train tagger train.parquet --model omnijet-tagger" in tagger
    assert "jetlab generate --model omnijet-tagger" not in tagger


def test_data_list_names_the_public_sets(run):
    _, out, _ = run("data", "list")
    assert "jetclass2" in out
    assert re.search(r"top-tagging +tagging +2 +2", out)
    assert "not known" in out


def test_data_fetch_says_where_the_files_are(run, tmp_path, monkeypatch):
    monkeypatch.setenv("JETLAB_DATA", str(tmp_path))
    assert "jets.parquet" in run("data", "fetch", "sample")[1]
    status, _, err = run("data", "fetch", "top-tagging", "--files", "nothing*")
    assert status == 1
    assert "no file 'nothing*'" in err
    status, _, err = run("data", "fetch", "nonsense")
    assert status == 1
    assert "nonsense" in err
    assert "top-tagging" in err


def test_data_show_describes_the_sample(run):
    status, out, err = run("data", "show", "sample")
    assert status == 0, err
    assert "20,000 jets" in out
    assert "t→bqq′" in out
    assert "pythia" in out.lower()


def test_models_measure_writes_into_the_card(run, simulated, tmp_path):
    import shutil

    from jetlab.zoo import describe, model_card

    model = tmp_path / "mine"
    shutil.copytree(describe("omnijet-tiny")["path"], model)
    status, out, err = run("models", "measure", model, "--true", simulated, "--split", "all", "--write")
    assert status == 0, err
    assert "against 12 true jets" in out
    assert model_card(model).count("\n## Quality\n") == 1
    assert model_card(model) != model_card("omnijet-tiny")
    assert "Jet mass [GeV]" in model_card(model)


def test_train_writes_a_model_that_generates_and_resumes(run, simulated, tmp_path):
    """With so few steps that the jets are noise: what counts is that every stage runs and the folder is complete."""
    from jetlab.zoo import describe

    steps = [word for stage in ("tokenizer", "prompt", "generator") for word in (f"--{stage}-steps", 2)]
    words = ("train", "omnijet", simulated, *steps, "--batch-size", 4, "--seed", 5, "--out", tmp_path / "mine")
    status, out, err = run(*words)
    assert status == 0, err
    model = tmp_path / "mine" / "model"
    assert f"Wrote {model}" in out
    provenance = describe(model)["provenance"]
    assert provenance["seed"] == 5
    assert provenance["jets"] == {"train": 8, "valid": 2}
    assert provenance["data"]["seed"] == 3
    weights = (model / "model.safetensors").read_bytes()
    assert run(*words)[0] == 0
    assert (model / "model.safetensors").read_bytes() == weights


def test_train_alpha_on_the_codes_of_a_model_and_generate_by_all_rules(run, simulated, tmp_path):
    import jetlab

    words = ("train", "alpha", simulated, "--tokenizer", "omnijet-tiny", "--preset", "modern-tiny")
    words += ("--objective", "joint", "--steps", 2, "--batch-size", 4, "--out", tmp_path / "mine")
    status, out, err = run(*words)
    assert status == 0, err
    assert f"Next: jetlab generate --model {tmp_path / 'mine' / 'model'}" in out
    card = tmp_path / "mine" / "model" / "README.md"
    assert "joint" in card.read_text(encoding="utf-8")
    rules = ("--top-p", 0.9, "--stop-bias", 0.5, "--min-constituents", 2, "--max-constituents", 4)
    path = tmp_path / "jets.parquet"
    status, out, err = run("generate", "-m", tmp_path / "mine" / "model", "-c", "QCD", "-n", 3, *rules, "--out", path)
    assert status == 0, err
    jets = jetlab.load_jets(path)
    assert 2 <= jets.multiplicity.min() <= jets.multiplicity.max() <= 4
    status, _, err = run("generate", "-m", tmp_path / "mine" / "model", "-n", 3, "--pt", 600, "--out", path)
    assert status == 1
    assert "cannot be asked for pt" in err


def test_options_have_the_defaults_of_the_functions():
    import inspect

    import jetlab.tasks.alpha
    import jetlab.tasks.omnijet
    from jetlab.cli import _train_alpha, generate, simulate, train

    pairs = (
        (_train_alpha.alpha, jetlab.tasks.alpha.train_alpha),
        (train.omnijet, jetlab.tasks.omnijet.train_omnijet),
        (generate.generate, jetlab.generate),
        (simulate.simulate, jetlab.simulate),
    )
    for verb, function in pairs:
        ours, theirs = inspect.signature(verb).parameters, inspect.signature(function).parameters
        for name in ours.keys() & theirs.keys() - {"classes", "n", "out", "seed", "model"}:
            assert ours[name].default == theirs[name].default, f"{verb.__name__} --{name}"


@pytest.mark.parametrize(
    ("suffix", "layout"),
    [(".root", "jetclass"), (".parquet", "compact"), (".h5", "jetnet"), (".h5", "omnilearned")],
)
def test_data_convert_keeps_jets_and_provenance(run, simulated, tmp_path, suffix, layout):
    import numpy as np

    import jetlab

    path = tmp_path / f"converted{suffix}"
    status, _, err = run("data", "convert", simulated, "--out", path, "--layout", layout)
    assert status == 0, err
    before, after = jetlab.load_jets(simulated), jetlab.load_jets(path)
    np.testing.assert_allclose(after.pt, before.pt, rtol=1e-3)
    np.testing.assert_allclose(after.mass, before.mass, rtol=0.1 if layout == "jetnet" else 1e-3)
    assert after.meta["seed"] == before.meta["seed"]


def test_data_flatten_makes_a_folder_of_the_same_jets(run, simulated, tmp_path):
    import numpy as np

    import jetlab

    status, out, err = run("data", "flatten", simulated, "--out", tmp_path / "flat")
    assert status == 0, err
    assert "Next: jetlab data show" in out
    np.testing.assert_array_equal(jetlab.load_jets(tmp_path / "flat").mass, jetlab.load_jets(simulated).mass)


def test_data_convert_says_which_layout_goes_with_which_suffix(run, simulated, tmp_path):
    status, _, err = run("data", "convert", simulated, "--out", tmp_path / "x.h5")
    assert status == 1
    assert ".h5 or .hdf5 with layout jetnet" in err


def test_dashboard_is_served_by_the_package_alone(tmp_path):
    """As from an installed wheel: in a folder without this repository."""
    command = [sys.executable, "-P", "-m", "jetlab.cli", "dashboard", "--no-show", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            lines = iter(server.stdout.readline, "")
            address = next(found[0] for line in lines if (found := re.findall(r"http://\S+", line)))
            with urllib.request.urlopen(f"{address}/compare", timeout=60) as answer:
                page = answer.read().decode()
        finally:
            server.kill()
    assert "<title>JetLab compare</title>" in page


# ---- progress -------------------------------------------------------------------------------------------------------


def test_progress_in_a_log_is_a_line_for_each_tenth(capsys):
    with _terminal.progress("Counting", unit="steps") as report:
        for done in range(1001):
            report(done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("Counting: 100 of 1,000 steps, ")
    assert lines[0].endswith(" left")
    assert "1,000 of 1,000" in lines[-1]


def test_progress_bar_shows_rate_and_time():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress_bar("Counting", "jets", console) as report:
        for done in range(11):
            report(done, 10)
    shown = console.file.getvalue()
    assert "10/10" in shown
    assert "jets/s" in shown
