"""Train with and without a defence, attack both, and read the verdict (about two minutes)."""

import rootbound as rb


def main() -> None:
    tasks = rb.load_data("mnist").split("0-4", "5-9")
    network = rb.models.shallow_cnn(classes=5)  # or any torch.nn.Module
    plain = rb.defend(network, tasks, "Plain")
    defended = rb.defend(network, tasks)
    verdict = rb.audit(defended, tasks, plain, minutes=1, workers=2, folder="quickstart/")
    verdict.report("quickstart/report.html")
    print(verdict, "Look at quickstart/report.html.", sep="\n")


# Worker processes import this file again: what they must not repeat goes under this line.
if __name__ == "__main__":
    main()
