"""Cells say the title of their column, so that the rows of a table can be stacked on a small screen."""

from __future__ import annotations

from sso.http.common.tables import with_labels

PAGE = """<p>x</p><table class="a"><thead><tr><th scope="col">Nama <small>x</small></th><th scope="col" class="figure">\
"Jumlah"</th></tr></thead><tbody>
<tr class="b"><th scope="row">A</th><td class="figure">1</td></tr>
<tr><td colspan="2">&lt;td&gt;</td></tr></tbody></table>
<table class="facts"><tbody><tr><th scope="row">B</th><td>2</td></tr></tbody></table>"""


def test_cells_have_the_title_of_their_column() -> None:
    labelled = with_labels(PAGE)
    assert '<th role="rowheader" data-label="Nama x" scope="row">A</th>' in labelled
    assert '<td role="cell" data-label="&quot;Jumlah&quot;" class="figure">1</td>' in labelled
    assert '<td role="cell" colspan="2">&lt;td&gt;</td>' in labelled
    assert '<td role="cell">2</td>' in labelled
    assert '<th role="columnheader" scope="col" class="figure">' in labelled
    assert labelled.startswith("<p>x</p>")
    assert labelled.count('role="row"') == 4


def test_a_page_without_a_table_stays_as_it_is() -> None:
    assert with_labels("<p>td th tr</p>") == "<p>td th tr</p>"
