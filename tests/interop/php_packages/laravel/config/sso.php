<?php
// What a program with users of its own changes of the published file.
return ['model' => App\Models\User::class, 'create' => ['name' => 'name']];
