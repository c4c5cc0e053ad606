"""Cells, their tangents, what a network reads, and how it runs freely."""

from mutation.records import Fault

CELLS = (
    "test_flows.py -k tangent_is",
    "test_models.py -k lstm or leak_one or dale or plasticity",
    "test_engines.py -k compiled_equals_generic",
)
TANGENTS = ("test_flows.py -k tangent_is",)

FAULTS = [
    Fault(
        "The recurrent matrix of the rate network is transposed.",
        "Rate.layer_step", 'h @ q["recurrent"].mT', 'h @ q["recurrent"]', CELLS,
    ),
    Fault(
        "The leak is that of the old state: 1 - a and a change places.",
        "leaky", "torch.lerp(h, target, a.expand(target.shape))", "torch.lerp(target, h, a.expand(target.shape))", CELLS,
    ),
    Fault(
        "The tangent of the rate network uses the transposed matrix.",
        "Rate.layer_tangent", "product(w, v)", "product(w.mT, v)", TANGENTS,
    ),
    Fault(
        "Input and forget gate of the LSTM change places.",
        "Lstm.layer_step", "i, f, g, o = (h", "f, i, g, o = (h", CELLS,
    ),
    Fault(
        "The tangent of the LSTM leaves out the slope of the output's tanh.",
        "Lstm.layer_tangent", "(o * (1 - out**2)).unsqueeze(-1) * d_c", "o.unsqueeze(-1) * d_c", TANGENTS,
    ),
    Fault(
        "The update gate of the GRU keeps the candidate in place of the state.",
        "Gru.layer_step", "torch.lerp(candidate, h, z)", "torch.lerp(h, candidate, z)", CELLS,
    ),
    Fault(
        "The reset gate of the GRU leaves out the candidate's bias.",
        "Gru._gates", "torch.tanh(u_candidate + r * inner)", "torch.tanh(u_candidate + r * w_candidate + inner - w_candidate)", CELLS,
    ),
    Fault(
        "Resources are used up by U, not by the facilitated u.",
        "Stp._recovery", "_towards(u, *to_u[1:]) * r", "use * r", ("test_networks_by_hand.py -k plastic",),
    ),
    Fault(
        "Plastic synapses start at a steady state that is none.",
        "Stp.start", "use * (fac + r) / (fac + use * r)", "use * (fac + r) / (fac + r)", ("test_networks_by_hand.py -k plastic",),
    ),
    Fault(
        "Plastic synapses count the bin in milliseconds.",
        "Stp.derive", 'p["bin_width"].unsqueeze(-2)', '1e3 * p["bin_width"].unsqueeze(-2)', ("test_networks_by_hand.py -k plastic",),
    ),
    Fault(
        "Dale's law holds for the incoming weights of a unit.",
        "signed_weights", "signs.unsqueeze(-2)", "signs.unsqueeze(-1)", ("test_models.py -k dale",),
    ),
    Fault(
        "The start under Dale's law balances columns, not rows.",
        "balanced_start", "(size * (signs > 0)).sum(1), (size * (signs < 0)).sum(1)",
        "(size * (signs > 0)).sum(0), (size * (signs < 0)).sum(0)", ("test_models.py -k dale",),
    ),
    Fault(
        "A network of limited memory sees the bin that it predicts.",
        "Network.recent", "drives[:, k - 1 : n_time - 1]", "drives[:, k:n_time]", ("test_tasks.py -k recall or memory",),
    ),
    Fault(
        "The memory of a restarted network is a bin longer than it says.",
        "Network.outputs", "self.recent(p, x, [self.memory])", "self.recent(p, x, [self.memory + 1])",
        ("test_tasks.py -k recall or memory or window",),
    ),
    Fault(
        "Inputs are seen a bin late.",
        "Network.tensors", "np.roll(data.inputs, -1, axis=1)", "data.inputs", ("test_training.py -k inputs",),
    ),
    Fault(
        "A network reads what missing bins hold.",
        "Network.tensors", " * valid.unsqueeze(-1)", "", ("test_networks_by_hand.py",),
    ),
    Fault(
        "All members of a network start with the same weights.",
        "start_parameters", "np.random.default_rng([seed, member, 1])", "np.random.default_rng([seed, 0, 1])",
        ("test_one_step.py -k start_apart",),
    ),
    Fault(
        "The skip of the read-out sees the bin that it predicts.",
        "before", "torch.full_like(seen[:, :1], torch.nan), seen[:, :-1]], 1)", "seen], 1)", ("test_skip.py",),
    ),
    Fault(
        "A low-rank matrix is divided by its rank.",
        "LowRank.derive", "/ self.hidden", "/ self.rank", TANGENTS,
    ),
    Fault(
        "The radius of a reservoir is that of W, not of the leaky map.",
        "scaled_reservoir", "1 - leak + leak * factor * eigenvalues", "factor * eigenvalues",
        ("test_reservoir.py -k radius",),
    ),
    Fault(
        "The reservoir's input is divided by the standard deviation of all trials, test trials too.",
        "Esn.learn", "[torch.as_tensor(train.valid)]", "[torch.as_tensor(np.ones_like(train.valid))]",
        ("test_networks_by_hand.py",),
    ),
    Fault(
        "The penalty of a reservoir's read-out is the last one, not the best on validation.",
        "fit_readout", "if loss < best[0] or not best[1]:", "if True:", ("test_choice_on_validation.py -k read_out",),
    ),
    Fault(
        "The penalty of ridge is for the sum over bins, not for each bin.",
        "ridge", "gram + penalty * np.eye(len(gram))", "gram + penalty / len(features) * np.eye(len(gram))",
        ("test_reservoir.py -k ridge",),
    ),
    Fault(
        "A discretised network that runs freely smooths with 1 - d in place of d.",
        "Network.look", "decay * smooth + (1 - decay) * y", "(1 - decay) * smooth + decay * y",
        ("test_networks_by_hand.py",),
    ),
    Fault(
        "The tangent of the closed loop leaves out the skip.",
        "Loop._moved_seen", 'moved = moved + self.member.p["skip"].unsqueeze(-1) * moved_last', "moved = moved + 0 * moved_last.sum()", TANGENTS,
    ),
    Fault(
        "Held inputs are taken off the drive in place of added.",
        "holding", 'q["bias"] + held @', 'q["bias"] - held @', ("test_flows.py -k held_inputs",),
    ),
    Fault(
        "The mean probability over futures is their sum.",
        "_log_mean", "torch.logsumexp(each, 1) - math.log(each.shape[1])", "torch.logsumexp(each, 1)", ("test_tasks.py -k future or forecast",),
    ),
    Fault(
        "A free run feeds its expectation back in place of a draw.",
        "simulate", "observation.draw(p, network.readout(p, cell.output(q, state), last), generator)",
        "observation.mean(p, network.readout(p, cell.output(q, state), last)).round() if observation.n_readout == observation.n_features and not observation.smooth_draws and type(observation).__name__ != \"Categorical\" else observation.draw(p, network.readout(p, cell.output(q, state), last), generator)",
        ("test_networks_by_hand.py",),
    ),
    Fault(
        "Errors ahead are in the signal's unit, not in its standard deviation.",
        "squared_error", '(network.observation.mean(p, eta)[:, 0] - came) / p["signal_scale"]', "network.observation.mean(p, eta)[:, 0] - came", ("test_skip.py -k errors_ahead",),
    ),
    Fault(
        "A layer reads what the layer below handed on one bin before.",
        "Stacked._climb", "handed = new[0] * kept[number - 1] if kept and number < self.layers else new[0]", "handed = part[0]", ("test_layers.py",),
    ),
    Fault(
        "The gradient of a complex recurrence forgets to conjugate its factor.",
        "_backward", "d[i] = given[i] + np.conj(factor[i]) * d[i]", "d[i] = given[i] + factor[i] * d[i]", ("test_scan.py",),
    ),
    Fault(
        "A block of a linear recurrence replaces the stream in place of adding to it.",
        "Blocks._run", "stream = stream + dropped(added, outside)", "stream = dropped(added, outside)", ("test_blocks.py",),
    ),
    Fault(
        "A transformer sees bins of the state before that never were.",
        "Transformer._attention", "weights = scores.masked_fill(absent, -torch.inf).softmax(-1)", "weights = scores.softmax(-1)", ("test_transformer.py",),
    ),
]  # fmt: skip
