"""Names of minor planets and comets as the Minor Planet Center packs them; the examples are its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tom_forced_phot.services.designations import designation

PUBLISHED = {
    '1995 XA': 'J95X00A',
    '1995 XL1': 'J95X01L',
    '1995 FB13': 'J95F13B',
    '1998 SQ108': 'J98SA8Q',
    '1998 SV127': 'J98SC7V',
    '1998 SS162': 'J98SG2S',
    '2099 AZ193': 'K99AJ3Z',
    '2008 AA360': 'K08Aa0A',
    '2007 TA418': 'K07Tf8A',
    '2026 CA620': '_QC0000',
    '2026 CZ6190': '_QC0aEM',
    '2026 CL591673': '_QCzzzz',
    '2040 P-L': 'PLS2040',
    '3138 T-1': 'T1S3138',
    '1010 T-2': 'T2S1010',
    '4101 T-3': 'T3S4101',
    'C/1995 A1': 'CJ95A010',
    'C/1994 P1-B': 'CJ94P01b',
    'C/2048 X13': 'CK48X130',
    'C/2033 L89-C': 'CK33L89c',
    'C/2088 A103': 'CK88AA30',
    'P/2019 LD2': 'PK19L02D',
}
WRITTEN_BY_PEOPLE = {
    '2022 WO1': 'K22W01O',
    '2022WO1': 'K22W01O',
    '2022_wo1': 'K22W01O',
    ' 2024  YR4 ': 'K24Y04R',
    'K22W01O': 'K22W01O',
    '433': '(433)',
    '(433)': '(433)',
    '(433) Eros': '(433)',
    '433 Eros': '(433)',
    '00433': '(433)',
    'A0345': '(100345)',
    'G4060': '(164060)',
    '~0000': '(620000)',
    '~000a': '(620036)',
    'C/2017 K2': 'CK17K020',
    'C/2017 K2 (PANSTARRS)': 'CK17K020',
    '67P': '0067P',
    '67P/Churyumov-Gerasimenko': '0067P',
    '73P-B': '0073Pb',
    '3I/ATLAS': '0003I',
}
NO_DESIGNATION = ['Ceres', 'SN 2022xyz', 'AT2022abc', '', '(0)', '0', "O'Brien; DROP", 'M31 ', 'C/2017 K', '2022 IA', '2040 CA620']


@pytest.mark.parametrize(('name', 'packed'), [*PUBLISHED.items(), *WRITTEN_BY_PEOPLE.items()])
def test_a_name_becomes_what_services_want(name: str, packed: str) -> None:
    assert designation([name]) == packed


@pytest.mark.parametrize('name', NO_DESIGNATION)
def test_what_is_no_designation_is_not_made_one(name: str) -> None:
    assert designation([name]) == ''


def test_an_alias_will_do() -> None:
    assert designation(['Ceres', 'my favourite', '(1)']) == '(1)'


@given(st.text(max_size=200))
def test_whatever_a_target_is_called_nothing_is_raised_and_nothing_is_sent_that_the_server_takes_for_something_else(
    name: str,
) -> None:
    found = designation([name])
    assert len(found) <= 10
    assert found == '' or found.isascii()
    assert not set(found) & set('\'";\n ')


@given(st.sampled_from(sorted({*PUBLISHED.values()} - {'_QC0000'})))
def test_what_is_packed_stays_as_it_is(packed: str) -> None:
    assert designation([packed]) == packed
