// The box in the head of a table selects all boxes of its page.
document.addEventListener('change', (event) => {
  const name = event.target.dataset && event.target.dataset.selects;
  if (name) {
    document.querySelectorAll(`input[name="${name}"]`).forEach((box) => { box.checked = event.target.checked; });
  }
});
