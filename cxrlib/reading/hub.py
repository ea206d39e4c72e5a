"""The door of a reading under JupyterHub: the hub says who comes, and everybody has a server of his or her own."""

import os
from typing import Any

from jupyterhub import __version__
from jupyterhub.singleuser.extension import JupyterHubIdentityProvider
from tornado.web import HTTPError

# The hub looks for it when it asks whether a server is up.
HEADERS = {"X-JupyterHub-Version": __version__}


class HubDoor(JupyterHubIdentityProvider):
    """Lets in the one user whose server this is.

    An administrator of the hub may open anybody's server, but must not read in another's name.
    """

    async def get_user(self, handler: Any) -> Any:
        user = await super().get_user(handler)
        if user is not None and user.username != os.environ["JUPYTERHUB_USER"]:
            raise HTTPError(403, f"This is the reading of {os.environ['JUPYTERHUB_USER']}; yours has another address.")
        return user
