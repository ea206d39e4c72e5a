// The reading as a widget of a notebook.

import { render } from "./viewer.js";

export default { render };
