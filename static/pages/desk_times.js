// The page of free times: typing a day or a time chooses "Another time", so that no tile stays chosen by mistake.

const other = document.querySelector('input[name="slot"][value="other"]');

for (const id of ["day", "clock"]) {
  document.getElementById(id)?.addEventListener("input", () => {
    if (other instanceof HTMLInputElement) other.checked = true;
  });
}
