"""Commands as people type them, in this process: importing torch takes seconds."""

from deephash.cli.main import main


def typed_in(folder, capfd, monkeypatch):
    """Return what runs a command in a folder, and gives exit status, standard output and error."""

    def run(*words):
        monkeypatch.chdir(folder)
        code = main([str(word) for word in words])
        return (code or 0, *capfd.readouterr())

    return run
