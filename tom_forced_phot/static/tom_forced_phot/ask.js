/* The asking page: targets are added and taken out, a date that is typed chooses its period, and a preview is only of what it shows. */
(() => {
  const body = () => document.getElementById('ask-body');

  function chosenChanged() {
    const each = [...document.querySelectorAll('#ask-chosen li')];
    document.getElementById('ask-count').textContent = each.reduce((sum, one) => sum + Number(one.dataset.number || 1), 0);
    stale();
  }

  function stale() {
    const button = document.getElementById('ask-send');
    if (!button) return;
    button.disabled = true;
    document.querySelector('.ask-stale').hidden = false;
  }

  function add(button) {
    const chosen = document.getElementById('ask-chosen');
    if (!chosen.querySelector(`input[value="${button.dataset.target}"]`)) {
      chosen.append(button.querySelector('template').content.cloneNode(true));
    }
    button.remove();
    document.getElementById('ask-search').focus();
    chosenChanged();
  }

  function drop(button) {
    button.closest('li').remove();
    document.getElementById('ask-search').focus();
    chosenChanged();
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-ask]');
    if (button) (button.dataset.ask === 'add' ? add : drop)(button);
  });

  document.addEventListener('input', (event) => {
    if (!body() || !body().contains(event.target) || event.target.id === 'ask-search') return;
    if (['first', 'last'].includes(event.target.name)) document.getElementById('ask-when-range').checked = true;
    if (event.target.name === 'services' && event.target.checked) {
      const options = event.target.closest('.ask-card').querySelector('.ask-options');
      if (options && [...options.querySelectorAll('[required]')].some((field) => !field.value)) options.open = true;
    }
    stale();
  });

  // Enter in a field is a preview, never the asking; in the search it is nothing.
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !body() || !body().contains(event.target) || event.target.tagName !== 'INPUT') return;
    if (event.target.id === 'ask-search') event.preventDefault();
  });

  document.addEventListener('htmx:afterSettle', (event) => {
    if (event.target.id !== 'ask-body') return;
    const first = document.getElementById('ask-wrong') || document.getElementById('ask-preview-head')?.closest('#ask-preview');
    if (!first) return;
    first.scrollIntoView({ block: 'start' });
    first.focus({ preventScroll: true });
  });
})();
