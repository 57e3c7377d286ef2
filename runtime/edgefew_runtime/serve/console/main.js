// Puts the page together: views, the token, and what follows from the server's state.

import { onPictures, stage } from "./camera.js";
import { refreshClasses, startClasses } from "./classes.js";
import { byId, plural, show } from "./elements.js";
import { followKind, onTyped } from "./kinds.js";
import { refreshLog, startLog } from "./log.js";
import { placeFrame, refreshMap } from "./map.js";
import { microphone } from "./microphone.js";
import { notify } from "./notices.js";
import { recognition } from "./recognise.js";
import { sense } from "./sensor.js";
import { server } from "./server.js";
import { hush } from "./sound.js";
import { refreshRefining } from "./refining.js";
import { refreshStrictness } from "./strictness.js";
import { addExamples, drawActions, resume, startTeaching, waitingCount } from "./teach.js";

const VIEWS = ["recognise", "teach", "classes", "map", "log"];
const FOLLOWS = ["recognise", "map"];

let view = "recognise";

function showView() {
  const asked = location.hash.slice(1);
  view = VIEWS.includes(asked) ? asked : "recognise";
  for (const name of VIEWS) byId(name).hidden = name !== view;
  byId("stage").hidden = !["recognise", "teach", "map"].includes(view);
  document.body.dataset.view = view;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view[0].toUpperCase()}${view.slice(1)} · EdgeFew console`;
  microphone.follow();
  refreshView();
  follow();
}

function refreshView() {
  if (!server.status || server.status.role === null || server.away) return;
  if (view === "classes") {
    refreshClasses();
    refreshRefining();
  }
  if (view === "map") refreshMap().then(() => placeFrame(recognition.last?.answer));
  if (view === "log") refreshLog();
}

function follow() {
  recognition.follow(() => sense().live && FOLLOWS.includes(view) && !document.hidden && !server.away);
}

function showStatus() {
  const { status } = server;
  byId("bundle-name").textContent = status.bundle.name;
  byId("bundle-name").title = `bundle ${status.bundle.id}`;
  byId("sign-out").hidden = !server.signedIn;
  const role = status.role === "teacher" ? "Teacher" : status.role === "operator" ? "Operator: can look, not teach" : "";
  byId("link-state").textContent = status.locked ? `${role} (gallery locked)` : role;
  byId("link-state").dataset.state = "here";
  followKind();
  microphone.follow();
  recognition.empty();
  drawActions();
}

function showAway() {
  const safe = waitingCount() ? ` ${plural(waitingCount(), "example")} that you have not saved wait here and are safe.` : "";
  show(byId("away"), `The server is away. This page tries again by itself.${safe}`);
  byId("link-state").textContent = "No connection";
  byId("link-state").dataset.state = "away";
  drawActions();
}

function back() {
  show(byId("away"), null);
  notify("The server is back.");
  resume();
  refreshView();
  follow();
}

function askForToken() {
  const dialog = byId("token-dialog");
  if (dialog.open) return;
  leave();
  byId("sign-out").hidden = true;
  byId("token").value = "";
  byId("person").value = server.person;
  dialog.showModal();
}

async function signIn(event) {
  event.preventDefault();
  show(byId("token-problem"), null);
  try {
    await server.signIn(byId("token").value.trim(), byId("person").value.trim());
  } catch (error) {
    show(byId("token-problem"), error.message);
    byId("token").select();
    return;
  }
  byId("token-dialog").close();
  server.poll();
  resume();
}

/** Nobody is listened to who has left the view or the page. */
function leave() {
  microphone.stop();
  hush();
}

async function record() {
  const file = await microphone.record(view === "teach");
  if (file) pictures([file]);
}

function pictures(files) {
  if (view === "teach") addExamples(files);
  else {
    if (!FOLLOWS.includes(view)) location.hash = "#recognise";
    recognition.pictures(files);
  }
}

server.addEventListener("status", showStatus);
server.addEventListener("revision", () => {
  if (server.status.role === null) return;
  if (view !== "classes") refreshClasses();
  refreshStrictness();
  refreshView();
});
server.addEventListener("away", showAway);
server.addEventListener("back", back);
server.addEventListener("token", askForToken);
recognition.addEventListener("answer", () => view === "map" && placeFrame(recognition.last.answer));
recognition.addEventListener("teach", () => {
  const { blob, name } = recognition.last;
  location.hash = "#teach";
  showView();
  addExamples([new File([blob], name ?? blob.name ?? "camera.jpg", { type: blob.type })]);
});
for (const one of [stage, microphone]) {
  one.addEventListener("started", follow);
  one.addEventListener("stopped", () => recognition.empty());
}
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow()));
window.addEventListener("pagehide", leave);
window.addEventListener("hashchange", () => {
  leave();
  showView();
  byId("content").focus({ preventScroll: true });
  scrollTo(0, 0);
});
byId("sensor-toggle").addEventListener("click", () => (sense().live ? sense().stop() : sense().start()));
byId("sensor-select").addEventListener("change", (event) => sense().start(event.target.value));
byId("record").addEventListener("click", record);
byId("token-form").addEventListener("submit", signIn);
byId("token-dialog").addEventListener("cancel", (event) => event.preventDefault());
byId("sign-out").addEventListener("click", () => server.signOut());
onPictures(pictures, (name) => notify(`${name} is not a picture that this browser can open.`, { bad: true }));
onTyped(pictures);

recognition.start();
startClasses();
startLog();
showView();
await startTeaching();
await server.poll();
