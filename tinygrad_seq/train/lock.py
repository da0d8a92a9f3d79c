import contextlib
@contextlib.contextmanager
def lock_run(folder):
    folder.mkdir(parents=True, exist_ok=True)
    try: yield
    finally:
        with contextlib.suppress(OSError): folder.rmdir()
