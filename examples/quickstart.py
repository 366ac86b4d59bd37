"""Train with and without a defence, attack both, and look at the report (about a minute)."""

import rootbound as rb


def main() -> None:
    tasks = rb.datasets.mnist().split(desirable=range(5), undesirable=range(5, 10))
    model = rb.models.shallow_cnn(classes=5)
    plain = rb.methods.Plain().fit(model, tasks, seed=0)
    defended = rb.methods.BestResponse().fit(model, tasks, seed=0)
    evaluation = rb.evaluate(defended, tasks, undefended=plain, suite="demo-1", seeds=1, workers=2)
    evaluation.save("quickstart/")
    rb.report.html(evaluation, "quickstart/report.html")
    print("look at quickstart/report.html")


# Worker processes import this file again: what they must not repeat goes under this line.
if __name__ == "__main__":
    main()
