"""The door of a reading under JupyterHub: the hub says who comes, and everybody has a server of his or her own."""

import os
from typing import Any

from jupyterhub import __version__
from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated


def hub_door() -> type:
    """What handlers inherit to let in the one user whose server this is.

    An administrator of the hub may open anybody's server, but must not read in another's name.
    """
    owner = os.environ["JUPYTERHUB_USER"]
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]

    class HubDoor(HubOAuthenticated):
        logout = f"{os.environ.get('JUPYTERHUB_BASE_URL', '/')}hub/logout"
        fixed_reader = owner

        @staticmethod
        def routes() -> list[tuple]:
            return [(f"{prefix}oauth_callback", HubOAuthCallbackHandler)]

        def get_current_user(self) -> str | None:
            user: dict[str, Any] | None = super().get_current_user()
            return user["name"] if user and user["name"] == owner else None

        def set_default_headers(self) -> None:
            super().set_default_headers()
            # The hub looks for it when it asks whether a server is up.
            self.set_header("X-JupyterHub-Version", __version__)

        def welcome_in(self) -> None:
            """Whoever comes has logged in already."""

        def prepare(self) -> None:
            if not self.current_user and self.request.path == prefix:
                self.redirect(self.get_login_url())
                return
            super().prepare()

    return HubDoor
