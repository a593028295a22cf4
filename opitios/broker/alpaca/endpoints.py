"""Alpaca's addresses, and the sandbox's, which serves all of them from one origin."""

from opitios.broker.port import Endpoint

PAPER = Endpoint(
    environment="paper",
    trading_url="https://paper-api.alpaca.markets",
    data_url="https://data.alpaca.markets",
    stream_url="wss://paper-api.alpaca.markets/stream",
    data_stream_url="wss://stream.data.alpaca.markets",
)
LIVE = Endpoint(
    environment="live",
    trading_url="https://api.alpaca.markets",
    data_url="https://data.alpaca.markets",
    stream_url="wss://api.alpaca.markets/stream",
    data_stream_url="wss://stream.data.alpaca.markets",
)


def sandbox_endpoint(origin: str) -> Endpoint:
    """Return the sandbox's endpoint for its origin, for example `http://127.0.0.1:8092`."""
    sockets = f"ws{origin.removeprefix('http')}"
    return Endpoint(
        environment="sandbox",
        trading_url=origin,
        data_url=origin,
        stream_url=f"{sockets}/stream",
        data_stream_url=sockets,
    )
