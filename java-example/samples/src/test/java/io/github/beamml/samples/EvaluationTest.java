// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.samples;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

/** What the samples print of their predictions. */
public class EvaluationTest {

  @Test
  public void columnsOfTheMatrixAreAsWideAsTheLongestNameNeeds() {
    Evaluation evaluation = new Evaluation();
    evaluation.add("animals", "animals");
    evaluation.add("computers", "animals");
    assertEquals(
        "accuracy 0.5000 (1 of 2)\n\n"
            + "confusion matrix: a row for each label, a column for each prediction\n"
            + "               animals  computers\n"
            + "    animals          1          .\n"
            + "  computers          1          .\n",
        evaluation.toString());
  }

  @Test
  public void columnsOfDigitsHaveRoomForNumbers() {
    Evaluation evaluation = new Evaluation();
    evaluation.add("0", "0");
    evaluation.add("1", "0");
    assertEquals(
        "accuracy 0.5000 (1 of 2)\n\n"
            + "confusion matrix: a row for each label, a column for each prediction\n"
            + "         0    1\n    0    1    .\n    1    1    .\n",
        evaluation.toString());
  }
}
