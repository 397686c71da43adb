// Loaded on every page: starts the GOV.UK components that stand on it.
import { initAll } from "../lib/govuk-frontend.min.js";

initAll();
