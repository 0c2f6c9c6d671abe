import csv


def test_a_test_says_what_it_reached_beside_the_reference_points(cli, tiny, fitted, tmp_path, capsys):
    checkpoint = fitted[0] / "checkpoints" / "last.ckpt"
    comparison = ("--trainer.callbacks+", "lightning_modules.callbacks.Comparison")
    references = ("--trainer.callbacks.references", '{"chance": 0.0217, "a better model": 0.95}')
    cli("test", *tiny, *comparison, *references, "--run_dir", tmp_path, "--ckpt_path", checkpoint)

    with (tmp_path / "test" / "confusion_matrix.csv").open() as file:
        counts = [[int(count) for count in row[1:]] for row in list(csv.reader(file))[1:]]
    reached = sum(counts[label][label] for label in range(46)) / sum(map(sum, counts))
    text = f"{100 * reached:5.1f} %  this model\n  2.2 %  chance\n 95.0 %  a better model\n"
    assert (tmp_path / "test" / "comparison.txt").read_text() == text
    assert text in capsys.readouterr().out
