"""Gradient descent: one step, its random numbers, schedules, early stopping, strategies, checkpoints."""

from mutation.records import Fault

STEP = "test_one_step.py"
TRAINING = (STEP, "test_training.py")
DEVICE = ("test_device_path.py",)

FAULTS = [
    Fault(
        "Dropout does not rescale what it keeps.",
        "threshold", "return cut, 65536 / (65536 - cut)", "return cut, 1.0",
        (STEP,),
    ),
    Fault(
        "All members share their noise.",
        "Draws._seed", "self.seed, self.member, purpose", "self.seed, 0, purpose", TRAINING,
    ),
    Fault(
        "Every step of an epoch draws the same noise.",
        "Draws._seed", "self.epoch, self.step, *more", "self.epoch, 0, *more", (STEP,),
    ),
    Fault(
        "Every epoch draws the same noise.",
        "Draws._seed", "purpose, self.epoch, self.step", "purpose, 0, self.step", (STEP,),
    ),
    Fault(
        "Input and hidden dropout use the same random words.",
        "Draws.words", "random_raw(n // 4 + 1)", "random_raw(n // 4 + 1) if purpose != HIDDEN else np.random.SFC64(self._seed(INPUT)).random_raw(n // 4 + 1)",
        (STEP,),
    ),
    Fault(
        "All members see the trials in one order.",
        "order", "[seed, member, ORDER, epoch]", "[seed, 0, ORDER, epoch]", TRAINING,
    ),
    Fault(
        "Every epoch has the same order of trials.",
        "order", "[seed, member, ORDER, epoch]", "[seed, member, ORDER, 0]", (STEP,),
    ),
    Fault(
        "Members that are fitted one by one all draw as member 0.",
        "_Descent._step", "self.epoch, self.step) for m in self.members]",
        "self.epoch, self.step) for m in range(len(self.members))]", TRAINING,
    ),
    Fault(
        "Weight decay is coupled: an L2 penalty in the gradient.",
        "_Descent.__init__", "torch.optim.AdamW(", "torch.optim.Adam(", (STEP,),
    ),
    Fault(
        "Weight decay is left out.",
        "_Descent.__init__", "weight_decay=training.weight_decay", "weight_decay=0.0", (STEP,),
    ),
    Fault(
        "The gradient is clipped by the norm of all members together.",
        "_Descent._clip", "torch.linalg.vector_norm(gradient, dim=1)",
        "torch.linalg.vector_norm(gradient).expand(len(gradient))", TRAINING,
    ),
    Fault(
        "The gradient is clipped before it is divided by the events.",
        "_Descent._clip", ".cpu().numpy() / events", ".cpu().numpy()", TRAINING,
    ),
    Fault(
        "A gradient below the clip is stretched to it.",
        "_Descent._clip", "np.minimum(self.training.clip / (norm + 1e-12), 1.0)", "self.training.clip / (norm + 1e-12)",
        TRAINING,
    ),
    Fault(
        "The gradient of a member is divided by the events of all members.",
        "_Descent._step", "engine.events[index].sum(1)", "engine.events[index].sum() * np.ones(len(index))", (STEP,),
    ),
    Fault(
        "The gradient is the mean over trials in place of events.",
        "_Descent._step", "engine.events[index].sum(1)", "float(index.shape[1])", (STEP,),
    ),
    Fault(
        "The cosine schedule ends in the middle.",
        "_Descent._learning_rate", "math.cos(math.pi * progress)", "math.cos(0.5 * math.pi * progress)", TRAINING,
    ),
    Fault(
        "There is no warm-up.",
        "_Descent._learning_rate", "min(1.0, progress / self.training.warm_up) if self.training.warm_up else 1.0", "1.0", TRAINING,
    ),
    Fault(
        "The weights that are kept are those of the lowest training loss.",
        "_Descent._keep", "better = (valid < self.best_loss)", "better = (sums[0] < self.best_loss)", TRAINING,
    ),
    Fault(
        "Patience ends an epoch early.",
        "_Descent._patient", "self.epoch - 1 - self.best_epoch < self.training.patience",
        "self.epoch - self.best_epoch < self.training.patience", TRAINING,
    ),
    Fault(
        "Validation drops out inputs and states.",
        "Roles.validate", "engine.batch(np.tile(index, (n_members, 1)), progress=1.0)",
        "engine.batch(np.tile(index, (n_members, 1)), [noise.Draws(self.seed, m, self.epoch, 0) for m in range(n_members)], 1.0)",
        TRAINING,
    ),
    Fault(
        "The validation loss is per trial, not per event.",
        "_Descent._validate", "roles.valid.events.sum()", "len(roles.valid)", TRAINING,
    ),
    Fault(
        "The trials of an incomplete last batch are never learned from.",
        "Roles.steps", "math.ceil(len(self.train) / self._batch)", "max(1, len(self.train) // self._batch)", TRAINING,
    ),
    Fault(
        "Truncated gradients go back `depth` bins from the first loss of a window, not from its last.",
        "_truncated", "max(0, s + every - depth)", "max(0, s - depth)",
        ("test_engines.py -k truncation",),
    ),
    Fault(
        "The linear schedule of the teacher falls to 0 whatever is asked for.",
        "Scheduled.probability", "1 - (1 - self.final) * progress", "1 - progress",
        ("test_engines.py -k schedules",),
    ),
    Fault(
        "The coin of scheduled sampling is upside down.",
        "Rollout._coins", "np.stack(words) < round(65536 * probability)", "np.stack(words) >= round(65536 * probability)",
        ("test_engines.py -k coin or teacher",),
    ),
    Fault(
        "What scheduled sampling draws depends on where a stretch of bins begins.",
        "Rollout._draw", "draws.integer(noise.DRAW, self.first + t)", "draws.integer(noise.DRAW, t)",
        ("test_cut_forcing.py",),
    ),
    Fault(
        "After a cut the skip goes on from the recorded bin, not from what was fed.",
        "_carried", "(*state, rollout.last[-1])", "(*state, rollout.recorded[..., len(rollout.last) - 2, :])",
        ("test_cut_forcing.py",),
    ),
    Fault(
        "Sparse forcing is a bin late.",
        "Sparse.forced", "(bin + 1) % self.every == 0", "bin % self.every == 0",
        ("test_engines.py -k forced or forcing",),
    ),
    Fault(
        "Forcing pushes the state away from what was seen.",
        "Rollout.step", "state[0] + error @ self.inverse.mT", "state[0] - error @ self.inverse.mT",
        ("test_engines.py -k forced or forcing",),
    ),
    Fault(
        "Windows of a limited memory are the same in every epoch.",
        "draw", "np.random.default_rng([seed, epoch, 8])", "np.random.default_rng([seed, 0, 8])", ("test_tasks.py -k window", STEP),
    ),
    Fault(
        "All bins of a window are scored, not its last one.",
        "ending", "scored = bins == last[:, None]", "scored = inside.copy()", ("test_tasks.py -k window",),
    ),
    Fault(
        "A checkpoint of another seed is taken for one's own.",
        "identity", 'cell.model_dump(mode="json"), seed, device', 'cell.model_dump(mode="json"), device', ("test_one_step.py -k checkpoint",),
    ),
    Fault(
        "A checkpoint forgets the moments of the optimiser.",
        "_Descent.load", "if moments:", "if False:", ("test_checkpoints.py -k resumed or killed",),
    ),
    Fault(
        "A recorded step draws the noise of the first member for all.",
        "Graphed._replay", "draws.integer(noise.INPUT)", "batch.draws[0].integer(noise.INPUT)", DEVICE,
    ),
    Fault(
        "A recorded step keeps the windows of the first epoch.",
        "Graphed.replace", "old.copy_(new)", "pass", DEVICE,
    ),
    Fault(
        "Nodes of a recorded step live on.",
        "Graphed._forget", "self.derived, self.q, self.started = {}, {}, ()", "pass", DEVICE,
    ),
    Fault(
        "A recording that failed leaves the process on its stream.",
        "Graphed._captured", "torch.cuda.set_stream(stream)", "pass", DEVICE,
    ),
    Fault(
        "The matrices of members are copied for every trial.",
        "affine", "(x.flatten(1, -2) @ weight.mT).reshape(*x.shape[:-1], weight.shape[-2])", "x @ weight.unsqueeze(1).mT", DEVICE,
    ),
    Fault(
        "A torch without CUDA takes the token of a GPU.",
        "gpu_present", " and _built_for_cuda()", "", ("test_devices.py",),
    ),
    Fault(
        "An echo-state network takes the token of a GPU.",
        "Plan.on_gpu", "model.uses_gpu", 'model.role == "recurrent"', ("test_devices.py",),
    ),
    Fault(
        "Recordings that share a cell learn one each.",
        "_laid_out", "if every and name in shared:", "if False:", ("test_together.py",),
    ),
    Fault(
        "Of a recording with fewer trials some are never learned from.",
        "Roles.part", "(step + 1) * n // n_steps", "step * n // n_steps + n // n_steps", ("test_together.py",),
    ),
    Fault(
        "The loss of several recordings is divided by the events of the last.",
        "_Descent._step", "events += engine.events[index].sum(1)", "events = engine.events[index].sum(1)", ("test_together.py",),
    ),
    Fault(
        "A frozen cell is learned.",
        "descend_together", "sessions[0].network.fixed | frozen", "sessions[0].network.fixed", ("test_together.py",),
    ),
]  # fmt: skip
