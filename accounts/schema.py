"""How the API's documents describe the token."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """TokenAuthentication as an OpenAPI security scheme. Registered by being imported."""

    target_class = "accounts.access.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Say: HTTP bearer authentication with a JWT."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
