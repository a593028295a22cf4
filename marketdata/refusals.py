"""What a caller is told where the broker did not say what was asked."""

from datetime import date

from accounts.pages import NEW_YORK
from marketdata.routing import NoDataAccount
from marketdata.symbols import expiry_of
from opitios.broker.errors import BrokerError, NotFound, NotSent, OutcomeUnknown, Refused
from opitios.broker.port import Answer
from opitios.core import clock
from opitios.core.errors import BrokerRefusal, FieldError, Problem, Reason


def refusal_of(error: Exception, symbol: str | None, what: str) -> Problem:
    """Translate a failed question about a symbol (None: about none).

    Returns Problem: 404 unknown-symbol, the broker's own refusal, 503 broker-unavailable.
    """
    match error:
        case Refused() if symbol and (
            isinstance(error, NotFound) or "invalid symbol" in error.message
        ):
            return unknown(symbol, what)
        case Refused() if _is_about_the_page(error):
            return _unknown_page(error)
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


def unknown(symbol: str, what: str = "price") -> Problem:
    """Make the 404 for a symbol of which the broker tells nothing, saying why and where to look."""
    if what == "asset":
        detail = f"The broker knows no {symbol}; GET assets lists what there is."
    elif (expires_on := expiry_of(symbol)) is not None:
        detail = _untraded(symbol, expires_on)
    else:
        detail = (
            f"The broker knows no {what} of {symbol}: there is no such symbol, or it is not traded "
            f"any more; GET assets/{symbol} tells."
        )
    return Problem(Reason.UNKNOWN_SYMBOL, detail)


def _untraded(contract: str, expires_on: date) -> str:
    if expires_on < clock.now().astimezone(NEW_YORK).date():
        why = f"{contract} expired on {expires_on.isoformat()}"
    else:
        why = f"The broker knows no {contract}"
    return f"{why}; GET options/contracts lists what is traded."


def _is_about_the_page(error: Refused) -> bool:
    # Alpaca's services name the parameter, each with its own words around it.
    words = error.message.lower()
    return "page_token" in words or "page token" in words


def _unknown_page(error: Refused) -> Problem:
    wrong = FieldError(
        "page_token",
        "unknown-token",
        "page_token is the next_page_token of the page before, asked with the same parameters; "
        "without it the list begins anew.",
    )
    return Problem(Reason.INVALID_PARAMETER, f"The broker refused: {error.message}", errors=[wrong])


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
