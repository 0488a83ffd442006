<?php
$hook['post_controller_constructor'][] = array(
    'class' => 'Sso_hook', 'function' => 'protect', 'filename' => 'Sso_hook.php', 'filepath' => 'hooks',
);
