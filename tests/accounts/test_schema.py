"""The API's documents describe the token."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from accounts import schema
from accounts.access import TokenAuthentication


def test_the_token_is_described_as_a_bearer_jwt() -> None:
    found = OpenApiAuthenticationExtension.get_match(TokenAuthentication())

    assert isinstance(found, schema.BearerToken)
    assert found.get_security_definition(None) == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
