"""What a caller is told where the broker did not say what was asked."""

from marketdata.routing import NoDataAccount
from opitios.broker.errors import BrokerError, NotFound, NotSent, OutcomeUnknown, Refused
from opitios.broker.port import Answer
from opitios.core.errors import BrokerRefusal, Problem, Reason


def refusal_of(error: Exception, symbol: str | None, what: str) -> Problem:
    """Translate a failed question about a symbol (None: about none).

    Returns Problem: 404 unknown-symbol, the broker's own refusal, 503 broker-unavailable.
    """
    match error:
        case Refused() if symbol and (
            isinstance(error, NotFound) or "invalid symbol" in error.message
        ):
            return unknown(symbol)
        case Refused():
            return _refused(error)
        case NotSent(reason="no-budget"):
            detail = "Every data account has used up its calls of this minute."
        case BrokerError():
            detail = f"No data account got a {what} from the broker: {error.outcome}."
        case NoDataAccount():
            detail = "No account may read market data: add one of type data, master or backup."
        case _:
            detail = "The broker does not answer in time."
    wait = error.retry_after_seconds if isinstance(error, NotSent) else None
    return Problem(Reason.BROKER_UNAVAILABLE, detail, retry_after_seconds=max(1.0, wait or 1.0))


def unknown(symbol: str) -> Problem:
    """Make the 404 for a symbol that the broker does not know."""
    return Problem(Reason.UNKNOWN_SYMBOL, f"The broker knows no {symbol}.")


def no_answer(answer: Answer, error: Exception) -> OutcomeUnknown:
    """Make the failure of an account whose answer is not what was asked for."""
    return OutcomeUnknown(
        message=f"the broker's answer is none: {error}",
        reason="unparsable",
        http_status=answer.http_status,
        request_id=answer.request_id,
        raw_sha256=answer.raw_sha256,
        ms=answer.ms,
        rate=answer.rate,
    )


def _refused(error: Refused) -> Problem:
    broker = BrokerRefusal(
        http_status=error.http_status or Reason.REJECTED.value.status,
        code=error.code,
        message=error.message,
        request_id=error.request_id,
        extra={},
    )
    return Problem(Reason.REJECTED, f"The broker refused: {error.message}", broker=broker)
