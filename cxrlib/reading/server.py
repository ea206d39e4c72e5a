"""The reading as a page of its own: Voila behind a door, which shows one notebook and nothing else.

What a notebook server offers besides (files, their contents, terminals, lists of kernels, running code) is not there:
`ReadingServer.init_handlers` names every address that is answered, and at all of them somebody asks who comes.
"""

import errno
import logging
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tornado.ioloop
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import ensure_async
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import FileFindHandler, JupyterHandler
from jupyter_server.services.kernels.handlers import KernelHandler
from jupyter_server.utils import url_path_join
from jupyterlab_server.themes_handler import ThemesHandler
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import HTTPError, authenticated
from traitlets import default
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from cxrlib.errors import InputError
from cxrlib.reading.events import person
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.welcome import FOLDER, READER, STUDY
from cxrlib.study import Study

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
USUAL_PORT = 8866
PAGE = Path(__file__).with_name("page")
KERNEL_ID = r"(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)"
WIDGETS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
CLOSED_TAB_SECONDS = 300
CHATTY = ("alembic", "tornado.general", "tornado.application")


def serve_reading(
    study: Study,
    reader: str,
    port: int | None,
    say: Callable[[str], None],
    *,
    closed_tab_seconds: int = CLOSED_TAB_SECONDS,
) -> None:
    """Serve the study's reading until Ctrl-C; `say` is given one line with the address as soon as it can be opened.

    Under JupyterHub (its variables are in the environment) the hub's users come in, and the hub names the port; else
    whoever has the address with its token, on this machine only. `port` None means 8866, or any free one if that is
    taken. A kernel is ended when its tab has been closed, or out of reach, for `closed_tab_seconds`.

    Raises `InputError` if the study has no films to read yet, for a reader's name that can't be one, and for a port
    that is taken.
    """
    reader = person(reader) if reader else ""
    prepare_protocol(study).film_pixels(study)
    if study.file is None:
        raise InputError(f"study {study.name}: it has no file, so that the page can't load it; use `load_study`")
    os.environ |= {STUDY: str(study.file.resolve()), FOLDER: str(Path.cwd()), READER: reader}
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (str(PAGE), os.environ.get("JUPYTER_PATH"))))
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    server = ReadingServer.instance(config=_config(closed_tab_seconds))
    server.initialize([])
    server.say, server.wanted_port = say, port
    server.start()


def _config(closed_tab_seconds: int) -> Config:
    config = Config()
    config.Voila.notebook_path = str(PAGE / "reading.ipynb")
    config.Voila.open_browser = False
    config.Voila.log_level = logging.ERROR
    config.Voila.ip = LOOPBACK
    config.VoilaConfiguration.template = "reading"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.extension_allowlist = WIDGETS
    config.VoilaConfiguration.kernel_spec_manager_class = ThisInterpreter
    config.MappingKernelManager.root_dir = str(PAGE)
    config.MappingKernelManager.cull_idle_timeout = closed_tab_seconds
    config.MappingKernelManager.cull_interval = max(1, closed_tab_seconds // 5)
    # A kernel that died is not replaced by an empty one: the page notices, and a reload goes on at the same film.
    config.KernelManager.autorestart = False
    # Other accounts of this machine may not listen to what a kernel sends.
    config.KernelManager.transport_encryption = "auto"
    if "JUPYTERHUB_API_TOKEN" in os.environ:
        from cxrlib.reading.hub import HEADERS, HubDoor

        address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
        config.Voila.ip, config.Voila.port = address.hostname, address.port
        config.Voila.base_url = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
        config.Voila.identity_provider_class = HubDoor
        config.Voila.tornado_settings = {"headers": HEADERS}
        config.Voila.auto_token = True
    else:
        config.Voila.identity_provider_class = TokenDoor
        config.Voila.token = secrets.token_urlsafe(24)
    return config


class ThisInterpreter(KernelSpecManager):
    """Knows one kernel, `python3`, which is the Python that serves the page, whatever kernels the user has."""

    @default("kernel_dirs")
    def _no_folders(self) -> list[str]:
        return []


class TokenDoor(IdentityProvider):
    """Lets in who has the token: at first in the address, then as a cookie. There is no form to try others in."""

    login_available = False
    logout_available = False

    async def get_user(self, handler: JupyterHandler) -> User:
        user = await self._get_user(handler)
        if user is None:
            handler.current_user = handler._jupyter_current_user = None  # asked for while the refusal is written
            raise HTTPError(403, "The page opens with its whole address, as `cxr review` printed it, token included.")
        return user


class Guarded(JupyterHandler):
    """Answers nobody whom the door does not know, not even about files of the page that are no secret."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.current_user is None:
            raise HTTPError(403)

    def get_login_url(self) -> str:
        """Files are refused, not sent to a form."""
        raise HTTPError(403)


class Nothing(Guarded):
    """Every address that is not named."""

    async def prepare(self) -> None:
        await super().prepare()
        raise HTTPError(404, "There is only one page here, the reading.")


class ReadingPage(TornadoVoilaHandler):
    """The page. What else stands in the address, the token apart, changes nothing."""

    @authenticated
    async def get(self, path: str | None = None) -> None:
        # Read for its effect: it sets the cookie without which a closed tab may not end its kernel.
        _ = self.xsrf_token
        if self.request.query:
            # The token is a cookie by now, and better not left in the browser's history.
            self.redirect(self.base_url)
            return
        await super().get()


class Alive(Guarded):
    """Whether a kernel is still there: 204 or 410."""

    async def get(self, kernel_id: str) -> None:
        found = kernel_id in self.kernel_manager and await ensure_async(
            self.kernel_manager.get_kernel(kernel_id).is_alive()
        )
        self.set_status(204 if found else 410)


class KernelFacts(Guarded, KernelHandler):
    """What the page asks of its kernel before it connects."""

    SUPPORTED_METHODS = ("GET",)


class PageFiles(Guarded, MultiStaticFileHandler):
    """Voila's scripts."""


class TemplateFiles(Guarded, TemplateStaticFileHandler):
    """Scripts and styles of the page's template."""


class WidgetFiles(Guarded, FileFindHandler):
    """Scripts of the widgets."""


class ThemeFiles(Guarded, ThemesHandler):
    """Colours and fonts."""


class ReadingServer(Voila):
    """Voila on one notebook, with a door, and nothing of Voila's own settings files."""

    say: Callable[[str], None]
    wanted_port: int | None = None

    @default("config_file_paths")
    def _no_settings_files(self) -> list[str]:
        return []

    def init_settings(self) -> dict[str, Any]:
        settings = super().init_settings()
        # Errors are said in the page's own words. Voila's log of requests would hold the token.
        settings["jinja2_env"] = settings["voila_jinja2_env"]
        settings["log_function"] = _log_failures
        return settings

    def init_handlers(self) -> list[tuple]:
        """Every address that is answered."""
        labextensions = {"path": self.labextensions_path, "no_cache_paths": ["/"]}
        themes = {
            "themes_url": "/voila/api/themes", "path": self.themes_dir,
            "labextensions_path": self.labextensions_path, "no_cache_paths": ["/"],
        }  # fmt: skip
        page = {
            "notebook_path": Path(self.notebook_path).name, "template_paths": self.template_paths,
            "config": self.config, "voila_configuration": self.voila_configuration,
        }  # fmt: skip
        routes = [
            ("/", ReadingPage, page),
            (rf"/alive/{KERNEL_ID}", Alive),
            (rf"/api/kernels/{KERNEL_ID}", KernelFacts),
            (rf"/api/kernels/{KERNEL_ID}/channels", VoilaKernelWebsocketHandler),
            (r"/voila/api/shutdown/(.*)", VoilaShutdownKernelHandler),
            (r"/voila/api/themes/(.*)", ThemeFiles, themes),
            (r"/voila/labextensions/(.*)", WidgetFiles, labextensions),
            (r"/voila/static/(.*)", PageFiles, {"paths": self.static_paths}),
            (r"/voila/templates/(reading/static/[\w.-]+)", TemplateFiles),
            *self.identity_provider.get_handlers(),
            (r"/.*", Nothing),
        ]
        return [(url_path_join(self.server_url, path), *rest) for path, *rest in routes]

    def listen(self) -> None:
        """Open the port, say the address once it answers, and serve until told to stop."""
        sockets = self._sockets()
        self.port = sockets[0].getsockname()[1]
        behind_hub = not isinstance(self.identity_provider, TokenDoor)
        HTTPServer(self.app, xheaders=behind_hub).add_sockets(sockets)
        token = "" if behind_hub else f"?token={self.token}"
        self.ioloop = tornado.ioloop.IOLoop.current()
        self.ioloop.add_callback(self.say, f"{self.connection_url}{token}")
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            logger.info("stopped")
        finally:
            self.stop()

    def _sockets(self) -> list[socket.socket]:
        if not isinstance(self.identity_provider, TokenDoor):
            return bind_sockets(self.port, self.ip)
        for port in (USUAL_PORT, 0) if self.wanted_port is None else (self.wanted_port,):
            try:
                return bind_sockets(port, self.ip)
            except OSError as error:
                if port and self.wanted_port is None and error.errno == errno.EADDRINUSE:
                    continue
                raise InputError(
                    f"--port: {port} can't be had: {error.strerror}; leave --port out, or name another"
                ) from None
        raise AssertionError("port 0 is always free")


def _log_failures(handler: Any) -> None:
    if handler.get_status() >= 500:
        logger.error("%s %s: %d", handler.request.method, handler.request.path, handler.get_status())
