/** The page: a studio over a server, or one run inside a report. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import "./style.css";

const root = document.getElementById("root");
if (root === null) throw new Error("Cannot start: the page has no root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
