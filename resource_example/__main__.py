"""`python -m resource_example --host 127.0.0.1 --port 8001`."""

import argparse

import uvicorn


def main() -> None:
    """Runs the service until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m resource_example", description="The orders service.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--certificate", help="PEM file; with it and --key the service speaks https.")
    parser.add_argument("--key", help="PEM file of the certificate's private key.")
    chosen = parser.parse_args()
    uvicorn.run(
        "resource_example.app:create_app",
        factory=True,
        host=chosen.host,
        port=chosen.port,
        ssl_certfile=chosen.certificate,
        ssl_keyfile=chosen.key,
    )


if __name__ == "__main__":
    main()
