"""The gallery of the site: a page with the figures of the default study, and the pictures on it.

`python docs/gallery.py results/default` makes the pictures in `docs/gallery/` again, from the PDF files of a
finished default study. They are committed, small, so that the site is built without results.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cortseq import study
from cortseq.stages import Plan

DOCS = Path(__file__).parent
PICTURES = DOCS / "gallery"
WIDTH, COLOURS = 1000, 64  # pixels of a picture; colours that it is reduced to
# What a reader asks when looking at a figure, in the order of the page.
QUESTIONS = {
    "answer": "Does any network predict better than the best model that is no network?",
    "ladder": "How much does each step from the mean rates to a network with the whole past gain?",
    "scores": "How do the scores of all models compare on each recording?",
    "recording": "What does the recording look like, and does it stay the same over time?",
    "ceilings": "How much is there to predict at all?",
    "order": "How long a past does a Markov chain use?",
    "memory": "How long a past does a network use?",
    "horizon": "How far ahead does each model predict?",
    "trial": "Where within a trial is a model better?",
    "units": "Which units are predicted better?",
    "pit": "Do the counts have the distribution that the model says?",
    "generation": "Does a model that runs freely produce activity like the recorded one?",
    "curves": "Have the networks learned all they could?",
    "seeds": "How much depends on the random start?",
    "inputs": "What do inputs explain, what does the past explain, and what do they share?",
    "bins": "Does the answer depend on the width of the bins?",
    "corners": "What do inputs, recurrence and both together gain?",
    "together": "What do sessions gain by sharing a cell?",
    "forgetting": "What is forgotten of earlier sessions?",
    "states": "Where do the states of the fitted network go?",
    "points": "Where can the network rest?",
    "members": "Do random restarts find the same dynamics?",
    "shared_states": "Which states do restarts share?",
    "jacobian_spectra": "Which directions of the state are slow, and which rotate?",
    "weight_spectra": "Which eigenvalues of the weights are more than chance?",
    "lyapunov": "Is the network chaotic?",
    "twins": "Do two copies that begin nearly alike come apart?",
    "gradients": "How far back does learning reach?",
    "pulses": "How does the network answer a short push?",
    "balance": "Do excitation and inhibition cancel?",
    "release": "How do the synapses filter what they are sent?",
    "mean_field": "Does the network move as a random one of its gain would?",
}


def pictured(name: str) -> Path | None:
    """Return the picture of a figure of the ring, or of the whole study."""
    known = (PICTURES / f"{name}{end}.png" for end in ("_ring", ""))
    return next((file for file in known if file.is_file()), None)


def page() -> str:
    """Return the page: for each figure its question, its picture, its caption."""
    plan = Plan(study.read(DOCS.parent / "config/config.yaml"), None)
    parts = [
        "# Gallery",
        "Every figure of a report, by the question that it answers. The pictures are of the synthetic ring "
        "of cells in the default study (`make results`), whose true likelihood is known. A study leaves out "
        "what does not apply to it, and `figures:` chooses ([how to](howto.md)).",
    ]
    for name, question in QUESTIONS.items():
        file, figure = pictured(name), plan.figures[name]
        facts = plan.whole if figure.scope == "study" else plan.facts["ring"]
        picture = f"![{figure.title}](gallery/{file.name})" if file else "*Not part of the default study.*"
        parts += [f"## {question}", f"`{name}`: {figure.title}", picture, figure.text(facts)]
    return "\n\n".join(parts)


def draw(results: Path) -> None:
    """Write the pictures from the PDF files of a finished default study."""
    import pypdfium2

    PICTURES.mkdir(exist_ok=True)
    for name in QUESTIONS:
        for end in ("_ring", ""):
            file = results / "figures" / f"{name}{end}.pdf"
            if file.is_file():
                sheet = pypdfium2.PdfDocument(file)[0]
                drawn = sheet.render(scale=WIDTH / sheet.get_width()).to_pil()
                drawn.quantize(COLOURS, dither=0).save(PICTURES / f"{file.stem}.png", optimize=True)
                break


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
