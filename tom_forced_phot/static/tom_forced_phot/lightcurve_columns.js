/* The columns of a light curve as numbers: the way back of tom_forced_phot.lightcurve.payload. */
(function () {
  'use strict';
  const curve = window.photCurve = window.photCurve || {};

  function numbers(column) {
    const values = column.values;
    const found = new Float64Array(values.length);
    // a division by a whole number is exact to the last digit, a product with 0.0001 is not
    const fine = column.scale < 1 ? Math.round(1 / column.scale) : 0;
    let sum = 0;
    for (let i = 0; i < values.length; i += 1) {
      sum = column.delta ? sum + values[i] : values[i];
      found[i] = values[i] === column.none ? NaN : fine ? sum / fine : sum * column.scale;
    }
    return found;
  }

  function block(given) {
    if (!given) return null;
    const found = {counts: given.counts, kind: given.kind, number: given.number, measured: given.measured};
    for (const name of ['id', 'mjd', 'flux', 'flux_error', 'magnitude', 'magnitude_error']) found[name] = numbers(given[name]);
    return found;
  }

  curve.decode = (data) => ({...data, points: block(data.points), means: block(data.means)});

  curve.utc = (mjd, digits) => new Date(Math.round((mjd - 40587) * 86400000)).toISOString().slice(0, digits).replace('T', ' ');
}());
