"""Files, fingerprints, studies, rules and scripts."""

from mutation.records import Fault

STORE = ("test_writing.py", "test_store.py")
CODE = ("test_writing.py", "test_fingerprint.py")
STEPS = ("test_steps.py",)
RULES = ("test_rules_and_code.py", "test_two_folds.py")
STUDY = ("test_writing.py", "test_study.py")

FAULTS = [
    Fault(
        "Files are written in place: a job that fails leaves half a file.",
        "atomic", 'temporary = path.with_name(f".{path.name}{_mark()}")', "temporary = path", STORE,
    ),
    Fault(
        "A half-written file takes the place of the old one.",
        "atomic", "        raise\n    finally:", "        os.replace(temporary, path)\n        raise\n    finally:", STORE,
    ),
    Fault(
        "The bytes of an archive depend on when it was written.",
        "write", "zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)", "zipfile.ZipInfo.from_file(file, file.relative_to(folder).as_posix())", STORE,
    ),
    Fault(
        "Tables keep three digits.",
        "write_table", '"%.9g"', '"%.3g"', STORE,
    ),
    Fault(
        "The bytes of JSON depend on the order of its keys.",
        "write_json", ", sort_keys=True", "", STORE,
    ),
    Fault(
        "Imports inside functions are no part of a fingerprint.",
        "_syntax", "for node in ast.walk(tree):", "for node in ast.iter_child_nodes(tree):", CODE,
    ),
    Fault(
        "A fingerprint holds the named modules only, none that they import.",
        "fingerprint", "waiting += imported", "waiting += ()", CODE,
    ),
    Fault(
        "Modules that are imported from a package are no part of a fingerprint.",
        "_imports", 'name if _path(name) else name.rpartition(".")[0]', 'name.rpartition(".")[0]', CODE,
    ),
    Fault(
        "A changed family does not fit its models again.",
        "fit", "modules=[plan.family(dataset, variant)]", "modules=[]", RULES,
    ),
    Fault(
        "A changed family is not scored again.",
        "score", "modules=[plan.family(dataset, variant)]", "modules=[]", RULES,
    ),
    Fault(
        "A changed source is not loaded again.",
        "rule load", 'code("load", source_module(w))', 'code("load")', RULES,
    ),
    Fault(
        "Scores of units ignore the burn-in of the study.",
        "score", 'params=plan.settings("burn_in")', 'params={"burn_in": 0}', RULES,
    ),
    Fault(
        "The comparison scores every fold with the products of the first.",
        "script compare.py", "\"fold\": fold} for fold in range", "\"fold\": 0} for fold in range", RULES,
    ),
    Fault(
        "Every fold is fitted to the trials of the first.",
        "script fit.py", "int(snakemake.wildcards.fold)", "0 * int(snakemake.wildcards.fold)", RULES,
    ),
    Fault(
        "Every fold is scored on the trials of the first.",
        "script score.py", "int(snakemake.wildcards.fold)", "0 * int(snakemake.wildcards.fold)", RULES,
    ),
    Fault(
        "Forecasts are of validation trials.",
        "script task.py", 'trials(recording, roles["test"]', 'trials(recording, roles["valid"]', RULES,
    ),
    Fault(
        "A session is learned from the first fold of the one before.",
        "earlier", "fold=fold", "fold=0", RULES,
    ),
    Fault(
        "Co-smoothing repeats the first fold.",
        "script cosmooth.py", "splits.fold_of(whole, manifest, fold)", "splits.fold_of(whole, manifest, 0)", RULES,
    ),
    Fault(
        "A step is left as it is whatever its settings became.",
        "Step.found", "self.made, self.params, self.key]", "self.made, self.key]", STEPS,
    ),
    Fault(
        "A step is left as it is whatever its inputs hold.",
        "Step.found", "{file: _digest(file) for", '{file: _digest(file) if file in self.outputs else "" for', STEPS,
    ),
    Fault(
        "A step whose output was lost or changed is left as it is.",
        "Step.found", "(*self.inputs, *self.outputs)", "self.inputs", STEPS,
    ),
    Fault(
        "A step that is asked for again is left as it is.",
        "Step.is_made", "os.environ.get(AGAIN) or ", "", STEPS,
    ),
    Fault(
        "A job takes the outputs of its own steps for inputs.",
        "Batch.inputs", " if file not in own", "", STEPS,
    ),
    Fault(
        "A sequence is learned backwards.",
        "Study.before", "self.sequence[place - 1] if place else None", "self.sequence[place + 1] if place + 1 < len(self.sequence) else None", STUDY,
    ),
    Fault(
        "Sweeps name their variants by the key only.",
        "_expand", 'f"_{k}{_text(v)}"', 'f"_{k}"', STUDY,
    ),
    Fault(
        "Shares of test and validation trials may leave nothing to train on in folds.",
        "Study._some_train", "self.test_fraction if self.folds == 1 else 1 / self.folds", "self.test_fraction", STUDY,
    ),
    Fault(
        "A session that was held out has its cell from itself.",
        "earlier", "plan.study.together[across].sessions[0]", "dataset", ("test_sessions.py",),
    ),
    Fault(
        "The cell of a session that was held out is learned there.",
        "fitted", '{"cell": "frozen"}', "{}", ("test_sessions.py",),
    ),
]  # fmt: skip
