"""`python -m resource_example --host 127.0.0.1 --port 8001`."""

import argparse

import uvicorn


def main() -> None:
    """Runs the service until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m resource_example", description="The orders service.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    chosen = parser.parse_args()
    uvicorn.run("resource_example.app:create_app", factory=True, host=chosen.host, port=chosen.port)


if __name__ == "__main__":
    main()
