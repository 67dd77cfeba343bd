/* Choosing targets: one that was found is put among the chosen, once. */
function addTarget(button) {
  const chosen = document.getElementById('target-chosen');
  if (!chosen.querySelector(`input[value="${button.dataset.target}"]`)) {
    chosen.append(button.querySelector('template').content.cloneNode(true));
  }
  button.remove();
  document.getElementById('target-search').focus();
}
